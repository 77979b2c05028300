"""Download the artifacts of this run, each to a folder of its own: ``python3 download.py FOLDER``.

It stands in for actions/download-artifact, with the runner's artifact service.
"""

from __future__ import annotations

import io
import json
import os
import sys
import urllib.request
import zipfile
from pathlib import Path
from typing import Any

# act's ids of every run and job.
_IDS = {"workflowRunBackendId": "1", "workflowJobRunBackendId": "1"}


def call(method: str, **fields: str) -> Any:
    """What the service answers."""
    service = "twirp/github.actions.results.api.v1.ArtifactService"
    request = urllib.request.Request(
        f"{os.environ['ACTIONS_RESULTS_URL']}{service}/{method}",
        data=json.dumps({**_IDS, **fields}).encode(),
        headers={
            "Authorization": f"Bearer {os.environ['ACTIONS_RUNTIME_TOKEN']}",
            "Content-Type": "application/json",
        },
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def main(folder: Path) -> None:
    """Download all of them."""
    for artifact in call("ListArtifacts")["artifacts"]:
        url = call("GetSignedArtifactURL", name=artifact["name"])["signedUrl"]
        with urllib.request.urlopen(url, timeout=30) as answer:
            archive = zipfile.ZipFile(io.BytesIO(answer.read()))
        archive.extractall(folder / artifact["name"])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
