"""POST a brief, get a live, verified site and a call back, exactly once.

The map, a floor a line; a module imports only from floors below its own:

    main.py                        app for uvicorn, the commands for people; nothing happens on import
    cli                            the commands, and the demo
    api · testing                  HTTP and dashboard · doubles of the world outside, such as a GitHub
    service                        the composition root: settings in, a running service out
    worker                         one run of a task: engine (alone knows DBOS) · run · prompt · model_calls · notify
    loop                           the agent loop on one screen: knows no database, no HTTP and no engine
    review                         verdicts with evidence on one workspace
    browser · tools                Chromium and its pages · one file a tool
    llm · publish · store          any model through litellm · git, GitHub and local sites · the only SQL
    files · intake · net           files of others, read · a request becomes a task · guarded HTTP
    prompts · sandbox · telemetry  Jinja templates · Python that can do no harm · traces
    quoting · settings · workspace  text of strangers · the environment · immutable files
    errors · events · records      who can act · what happened · what flows

To understand the product read `records`, then `loop`, then `worker.run`, then `worker.engine`.
"""
