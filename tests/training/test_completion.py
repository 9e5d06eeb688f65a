"""Shells complete commands, recipes and options."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from pyro_mixvae.training.completion import completion_script

ASK = """
source {script}
complete() {{ local IFS=' '; COMP_WORDS=($1); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); COMPREPLY=()
_shtab_pyro_mixvae; echo "${{COMPREPLY[@]}}"; }}
complete 'pyro-mixvae tr'
complete 'pyro-mixvae train gmvae-d'
complete 'pyro-mixvae train gmvae-digits --model.num_c'
"""


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
def test_bash(tmp_path):
    script = tmp_path / "completion.bash"
    script.write_text(completion_script("bash"))
    done = subprocess.run(["bash", "-c", ASK.format(script=script)], capture_output=True, text=True, check=True)
    command, recipe, option = done.stdout.splitlines()
    assert command == "train"
    assert recipe == "gmvae-digits"
    assert "--model.num_components" in option.split()
