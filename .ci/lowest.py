"""Print the lowest versions of the dependencies that pyproject.toml admits, one requirement in each line."""

import re
import tomllib
from pathlib import Path

project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
tests = [entry for entry in project["optional-dependencies"]["dev"] if re.match(r"pytest>|hypothesis|scipy", entry)]
for requirement in [*project["dependencies"], *tests]:
    print(requirement.replace(">=", "=="))
