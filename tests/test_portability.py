"""What POSIX alone has is not needed: commands run where its modules and names are missing, as on Windows."""

import ast
import os
import signal
import subprocess
import sys

import pytest

# Put in front of every Python process of a test, those that commands begin included.
SITE = """
import builtins, shutil, os, signal, sys
import filelock, platformdirs.unix, psutil  # portable themselves, with other code for each system

MODULES = {"fcntl", "grp", "pwd", "resource", "termios", "pty", "tty"}
NAMES = {
    os: ("getuid", "geteuid", "getgid", "pread", "pwrite", "sched_getaffinity", "killpg", "getsid", "setsid", "getpgid",
         "mkfifo", "O_NOFOLLOW", "O_DIRECTORY"),
    signal: ("SIGUSR1", "SIGUSR2", "SIGHUP", "SIGALRM", "SIGPIPE", "pthread_kill"),
}
for module, names in NAMES.items():
    for name in names:
        if hasattr(module, name):
            delattr(module, name)

import_module = builtins.__import__
def import_portably(name, namespace=None, *arguments, **named):
    if name.partition(".")[0] in MODULES and str((namespace or {}).get("__name__")).startswith("cdrl"):
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    return import_module(name, namespace, *arguments, **named)
builtins.__import__ = import_portably

send, open_descriptor = os.kill, os.open
def kill(pid, number):
    assert number != 0, "on Windows signal 0 ends a process"
    send(pid, number)
def open_file(path, flags, *arguments, **named):
    if os.path.isdir(path):
        raise PermissionError(13, "Permission denied", path)
    return open_descriptor(path, flags, *arguments, **named)
os.kill, os.open = kill, open_file
shutil._use_fd_functions = False  # folders have no descriptors on Windows
"""

COMMANDS = [
    ["doctor"],
    ["edit", "talk.flv", "--emotion", "happy", "-o", "happy.mp4", "--preview", "happy.png", "--report", "happy.json"],
    ["verify", "happy.mp4", "--source", "talk.flv"],
    ["export", "talk.flv", "-o", "talk.csv"],
    ["live", "--input", "talk.flv", "--output", "none", "--emotion", "sad", "--seconds", "1"],
    ["batch", "clips", "-o", "results", "--emotion", "sad", "--jobs", "2"],
    ["data", "prepare", "clips", "-o", "prepared", "--layout", "crema-d", "--speech", "mel", "--workers", "2"],
]


@pytest.fixture(scope="module")
def workdir(tmp_path_factory, repository):
    folder = tmp_path_factory.mktemp("windows")
    (folder / "sitecustomize.py").write_text(SITE)
    (folder / "clips").mkdir()
    for name in ("1001_DFA_NEU_XX.flv", "1001_DFA_HAP_XX.flv"):
        (folder / "clips" / name).write_bytes((repository / "examples" / name).read_bytes())
    (folder / "talk.flv").write_bytes((folder / "clips" / "1001_DFA_NEU_XX.flv").read_bytes())
    return folder


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: " ".join(words[:2] if words[0] == "data" else words[:1]))
def test_commands_run_without_what_posix_alone_has(workdir, words):
    search = os.pathsep.join(filter(None, [str(workdir), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": search, "CDRL_I_HAVE_CONSENT": "1"}
    command = [sys.executable, "-m", "cdrl", *words]
    done = subprocess.run(command, cwd=workdir, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_no_module_needs_what_posix_alone_has(repository):
    """Also those that the commands above do not reach: a name is used only in a file that asks whether it is there."""
    blocked: dict[str, object] = {}
    exec(SITE.partition("for module, names")[0].partition("\n\n")[2], {"os": os, "signal": signal}, blocked)
    for path in (repository / "src").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Import | ast.ImportFrom):
                imported = (
                    [node.module or ""] if isinstance(node, ast.ImportFrom) else [each.name for each in node.names]
                )
                assert not blocked["MODULES"] & {name.partition(".")[0] for name in imported}, path
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                module = {"os": os, "signal": signal}.get(node.value.id)
                if module is not None and node.attr in blocked["NAMES"][module]:
                    assert f'hasattr({node.value.id}, "{node.attr}")' in text, f"{path}: {node.attr}"
