"""Maven: `mvn test`, with all that it fetches kept in the workspace, where the gate finds it offline.

Which plug-ins a test run needs is known only once there was one, so the set-up is one. Of what that built nothing is
kept: classes of an earlier commit would be tested along with those of a later one.
"""

from __future__ import annotations

from codeswarm.detection.base import Files, Has, Proposal, Proposed, network_setup

_KEPT = '-Dmaven.repo.local="$PWD/.m2"'
_IGNORED = "mkdir -p .m2 && echo '*' > .m2/.gitignore"
_MOST_POMS = 50


def look(files: Files, has: Has) -> Proposal | None:
    if "pom.xml" not in files.names():
        return None
    wrapped = "mvnw" in files.names() and not has("mvn")
    program = 'MAVEN_USER_HOME="$PWD/.m2" sh mvnw' if wrapped else "mvn"
    gate = Proposed("gates.fast", f"{program} -B -q -o {_KEPT} test", "pom.xml", "")
    fetch = f"{_IGNORED} && {{ {program} -B -q {_KEPT} test || true; }} && git clean -qfdx -e .m2"
    inner = sorted(path for path in files.paths() if path.endswith("/pom.xml"))
    setup = network_setup(fetch, ("pom.xml", *inner[:_MOST_POMS]), "pom.xml", "what a test run needs is fetched by one")
    tools = ("java",) if wrapped else ("java", "mvn")
    return Proposal("Maven", (gate, *setup), (), tools, ("mvn test", "mvn verify", "mvnw test", "mvnw verify"))
