"""POST a brief, get a live, verified site and a call back, exactly once.

The house, a floor a line; a module imports only from floors below its own:

    main.py                        app for uvicorn, the commands for people; nothing happens on import
    cli                            the commands
    demo · doctor · probe          two rounds with an evaluator of its own · what stands in the way · what models can do
    testing                        stand-ins for the world outside, such as a GitHub on loopback
    client                         a task file read, sent and watched, as an evaluator would
    show                           a task on a terminal
    web                            app, api, dashboard: the doors
    service                        settings in, a wired engine out
    engine                         durable workflows (deliver, notify): the only module that knows DBOS
    delivery                       from a stored task to a publication, step by step
    hands                          what the loop works with, each a step
    workshop                       what one task is worked on with
    assessor                       where a model helps the review: probes of prose checks, the judge
    buyer                          a model's answers, each bought once
    loop · notify · skeleton       the agent loop on one screen · the call back · the files that code writes
    review                         verdicts with evidence on one workspace
    publish                        publisher (the steps) · git · remote · local · sites · github and its parts
    tools                          one file a tool, and the toolbox that lists and calls them
    llm                            model (protocol) · gateway (litellm) · text_protocol · interview · choice · replay
    intake · prompts · store       request to task · the Jinja templates · the only SQL
    files · net · sandbox · workflows  files of others · guarded HTTP · Python without harm · GitHub's workflow files
    attachments · checks           `data:` URIs to bytes · the evaluators' checks in one form
    telemetry                      traces, and the names in them
    settings · workspace           the environment · immutable files
    errors · events · records      who can act · what happened · what flows

To understand the product read `records`, then `loop`, then `delivery`, then `engine`.
"""
