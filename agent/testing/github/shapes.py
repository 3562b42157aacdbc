"""What GitHub's answers look like, as its official description has them."""

from collections.abc import Mapping
from typing import Any

from agent.records import Json
from agent.testing.github.state import Repo


def owner_of(login: str, base_url: str, kind: str) -> Json:
    """A user or an organisation, in short."""
    url = f"{base_url}/api/v3/users/{login}"
    return {
        "login": login,
        "id": 1,
        "node_id": "U_1",
        "avatar_url": f"{base_url}/u/1",
        "gravatar_id": "",
        "url": url,
        "html_url": f"{base_url}/{login}",
        **{f"{name}_url": f"{url}/{name}" for name in USER_LINKS.split()},
        "type": kind,
        "site_admin": False,
    }


def repository_of(repo: Repo, base_url: str, owner: Json) -> Json:
    """A repository in full."""
    url, web = f"{base_url}/api/v3/repos/{repo.owner}/{repo.name}", f"{base_url}/{repo.owner}/{repo.name}"
    return {
        "id": repo.number,
        "node_id": f"R_{repo.number}",
        "name": repo.name,
        "full_name": f"{repo.owner}/{repo.name}",
        "owner": owner,
        "private": False,
        "html_url": web,
        "description": repo.description,
        "fork": False,
        "url": url,
        **{f"{name}_url": f"{url}/{name}" for name in REPO_LINKS.split()},
        **{name: f"{web}.git" for name in ("clone_url", "git_url", "ssh_url", "svn_url", "mirror_url")},
        **REPO_FACTS,
        "has_pages": bool(repo.pages),
    }


USER_LINKS = """followers following gists starred subscriptions organizations repos events received_events"""
REPO_LINKS = """
archive assignees blobs branches collaborators comments commits compare contents contributors deployments downloads
events forks git_commits git_refs git_tags hooks issue_comment issue_events issues keys labels languages merges
milestones notifications pulls releases stargazers statuses subscribers subscription tags teams trees
"""
REPO_FACTS: Mapping[str, Any] = {
    "homepage": None,
    "language": None,
    **dict.fromkeys(
        ("forks_count", "stargazers_count", "watchers_count", "size", "open_issues_count", "network_count"), 0
    ),
    **dict.fromkeys(("forks", "open_issues", "watchers", "subscribers_count"), 0),
    **dict.fromkeys(("has_issues", "has_projects", "has_wiki", "has_downloads", "has_discussions"), True),
    "default_branch": "main",
    "archived": False,
    "disabled": False,
    "license": None,
    **dict.fromkeys(("pushed_at", "created_at", "updated_at"), "2026-01-01T00:00:00Z"),
}
PRIVATE_USER: Json = {
    **dict.fromkeys(("name", "company", "blog", "location", "email", "hireable", "bio")),
    **dict.fromkeys(("public_repos", "public_gists", "followers", "following", "private_gists"), 0),
    **dict.fromkeys(("total_private_repos", "owned_private_repos", "disk_usage", "collaborators"), 0),
    "two_factor_authentication": True,
    **dict.fromkeys(("created_at", "updated_at"), "2026-01-01T00:00:00Z"),
}
