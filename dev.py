#!/usr/bin/env python3
"""Set up, test, check and release dimple from a fresh checkout, with Python 3.11 or newer and no other tool.

    python3 dev.py demo          set up, then simulate scenes/sphere_in_3d.yaml into runs/demo
    python3 dev.py test [...]    set up, then run the tests; further arguments go to pytest
    python3 dev.py lint          set up, then ruff, mypy and import-linter
    python3 dev.py docs          set up, then build the documentation, which the package carries, into dimple/site
    python3 dev.py setup [...]   only set up, with these extras as well: napari, ray, docs, bench, test, dev
    python3 dev.py release X.Y.Z raise the version, after the change log is written

The virtual environment is .venv, the versions are those of constraints.txt. Without an NVIDIA GPU (`nvidia-smi -L`)
torch is a CPU build, with one it is the CUDA build. DIMPLE_TORCH replaces this choice by cpu, cuda, or a requirement
with options of pip: DIMPLE_TORCH="torch==2.13.0 --index-url https://download.pytorch.org/whl/cu126".
"""

import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
STAMP = VENV / "dimple-setup.json"
SCENE = "scenes/sphere_in_3d.yaml"
CHANGES = ROOT / "CHANGELOG.md"
CITATION = ROOT / "CITATION.cff"
VERSION_FILE = ROOT / "dimple" / "__init__.py"
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
EXTRAS = ("bench", "dev", "docs", "napari", "ray", "test")


class SetupError(Exception):
    """An error in one sentence, with the last lines of the tool's output below it."""


def main(arguments: "list[str]") -> int:
    """Run one verb and return its exit code."""
    verb = arguments[0] if arguments else ""
    rest = arguments[1:]
    verbs = {
        "demo": demo,
        "test": test,
        "lint": lint,
        "docs": docs,
        "setup": lambda extras: set_up(extras) or 0,
        "release": release,
    }
    if verb not in verbs:
        print(__doc__, file=sys.stdout if verb in ("-h", "--help") else sys.stderr)
        return 0 if verb in ("-h", "--help") else 2
    # Older Pythons must be able to print this message; therefore newer annotations are in quotes.
    if sys.version_info < (3, 11):
        found = ".".join(map(str, sys.version_info[:3]))
        print(
            f"dev.py: dimple needs Python 3.11 or newer, this is {found}; try python3.11 dev.py {verb}", file=sys.stderr
        )
        return 2
    os.chdir(ROOT)
    try:
        return verbs[verb](rest)
    except SetupError as error:
        print(f"dev.py: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("dev.py: interrupted; run the same command again to continue", file=sys.stderr)
        return 130


def demo(arguments: "list[str]") -> int:
    """Simulate the scene of the README into a folder of its own, and say how to look at it."""
    set_up([])
    out = Path("runs") / "demo"
    say(f"dimple simulate {SCENE}")
    command = [program("dimple"), "simulate", SCENE, "--out", out, "--force", *arguments]
    code = subprocess.call([str(word) for word in command])
    if code == 0:
        print(f"Open {ROOT / out / 'page.html'} in a browser, or run {program('dimple')} view {out}")
    return code


def test(arguments: "list[str]") -> int:
    """Run the tests."""
    set_up(["test"])
    return subprocess.call([str(PYTHON), "-m", "pytest", *arguments])


def lint(_: "list[str]") -> int:
    """Run all static checks, also after a failure; return the exit code of the first failure."""
    set_up(["test", "dev"])
    checks = (
        ("ruff", "check", "."),
        ("ruff", "format", "--check", "."),
        ("mypy", "--strict", "dimple"),
        ("lint-imports", "--no-logo"),
    )
    codes = []
    for tool, *options in checks:
        say(" ".join((tool, *options)))
        codes.append(subprocess.call([str(program(tool)), *options]))
    return next((code for code in codes if code), 0)


def docs(_: "list[str]") -> int:
    """Build the documentation into the package; warnings are errors."""
    set_up(["docs"])
    say("sphinx-build docs dimple/site")
    # Built elsewhere, because an extension writes beside the folder of the site, and a failure leaves the old site.
    shutil.rmtree("build/docs", ignore_errors=True)
    options = ["-W", "--keep-going", "-q", "-d", "build/docs/doctrees"]
    code = subprocess.call([str(PYTHON), "-m", "sphinx", *options, "docs", "build/docs/site"])
    if code == 0:
        shutil.rmtree("dimple/site", ignore_errors=True)
        shutil.move("build/docs/site", "dimple/site")
        print(f"Open {ROOT / 'dimple' / 'site' / 'index.html'} in a browser, or run {program('dimple')} docs")
    return code


def release(arguments: "list[str]") -> int:
    """Raise the version in the package and the citation, and date its part of the change log."""
    if len(arguments) != 1 or not re.fullmatch(r"\d+\.\d+\.\d+", arguments[0]):
        raise SetupError(f"release takes one version such as 0.3.0, not {' '.join(arguments)!r}")
    new = arguments[0]
    today = time.strftime("%Y-%m-%d")
    old = re.search(r'^__version__ = "(.*)"$', VERSION_FILE.read_text(), re.MULTILINE)
    if old is None:
        raise SetupError(f"{VERSION_FILE.relative_to(ROOT)} has no line __version__ = ...; restore it")
    if version_key(new) <= version_key(old[1]):
        raise SetupError(f"the version is {old[1]}; give a later one than {new}")
    changes = CHANGES.read_text()
    unreleased = re.search(r"^## \[Unreleased\]\n(.*?)(?=^## |\Z)", changes, re.MULTILINE | re.DOTALL)
    if unreleased is None or not re.search(r"^- ", unreleased[1], re.MULTILINE):
        raise SetupError("CHANGELOG.md has nothing below [Unreleased]; describe the changes for users there")
    heading = f"## [Unreleased]\n\n## [{new}] - {today}\n"
    CHANGES.write_text(changes.replace("## [Unreleased]\n", heading, 1))
    VERSION_FILE.write_text(VERSION_FILE.read_text().replace(old[0], f'__version__ = "{new}"'))
    cited = re.sub(r"^version: .*$", f"version: {new}", CITATION.read_text(), flags=re.MULTILINE)
    CITATION.write_text(re.sub(r"^date-released: .*$", f"date-released: {today}", cited, flags=re.MULTILINE))
    say(f"the version is {new}; commit CHANGELOG.md, CITATION.cff and {VERSION_FILE.relative_to(ROOT)}")
    return 0


def version_key(version: str) -> "tuple[int, ...]":
    """Return the numbers of a version, by which versions are ordered."""
    return tuple(map(int, version.split(".")))


def set_up(extras: "list[str]") -> None:
    """Bring .venv to the state that the files require; return at once if it is up to date.

    The stamp is written last, so that a setup that was interrupted is repeated.
    """
    for extra in extras:
        if extra not in EXTRAS:
            raise SetupError(f"there is no extra {extra!r}; choose from {', '.join(EXTRAS)}")
    stamp = read_stamp()
    # The first choice stays until DIMPLE_TORCH changes it, because machines with and without a GPU may share a
    # checkout.
    choice = os.environ.get("DIMPLE_TORCH") or stamp.get("torch") or ("cuda" if has_gpu() else "cpu")
    current = stamp.get("key") == fingerprint() and stamp.get("torch") == choice and PYTHON.exists()
    wanted = sorted(set(extras) | set(stamp.get("extras", [])))
    if current and wanted == stamp.get("extras"):
        return
    STAMP.unlink(missing_ok=True)
    make_environment()
    if not (current or torch_fits(choice)):
        install_torch(choice)
    install_dimple(wanted)
    STAMP.write_text(json.dumps({"key": fingerprint(), "torch": choice, "extras": wanted}))


def read_stamp() -> dict:
    """Return the stamp of the last finished setup; empty if there is none."""
    try:
        stamp = json.loads(STAMP.read_text())
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) else {}


def fingerprint() -> str:
    """Return a hash of all files that determine the installed packages."""
    content_hash = hashlib.sha256(str(ROOT).encode())
    for file in (ROOT / "pyproject.toml", ROOT / "constraints.txt", VENV / "pyvenv.cfg"):
        content_hash.update(file.read_bytes() if file.exists() else b"")
    return content_hash.hexdigest()


def has_gpu() -> bool:
    """Return whether the driver of NVIDIA lists a GPU."""
    if shutil.which("nvidia-smi") is None:
        return False
    return subprocess.run(["nvidia-smi", "-L"], capture_output=True, check=False).returncode == 0


def make_environment() -> None:
    """Make .venv, and replace one whose Python is missing, too old or without pip."""
    version_check = [str(PYTHON), "-c", "import sys; sys.exit(sys.version_info < (3, 11))"]
    if PYTHON.exists() and subprocess.run(version_check, capture_output=True, check=False).returncode == 0:
        has_pip = [str(PYTHON), "-m", "pip", "--version"]
        get_pip = [str(PYTHON), "-m", "ensurepip"]
        if any(
            subprocess.run(command, capture_output=True, check=False).returncode == 0 for command in (has_pip, get_pip)
        ):
            return
    say(f"making .venv with Python {'.'.join(map(str, sys.version_info[:3]))}")
    command = [sys.executable, "-m", "venv", "--clear", str(VENV)]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    if made.returncode != 0:
        hint = "on Debian and Ubuntu: apt-get install python3-venv"
        raise SetupError(f"python -m venv failed ({hint})\n{tail(made.stdout + made.stderr)}")


def pinned(package: str) -> str:
    """Return the version of a package in constraints.txt."""
    found = re.search(rf"^{package}==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    if found is None:
        raise SetupError(f"constraints.txt pins no {package}; restore that line")
    return found[1]


def installed_torch() -> str:
    """Return the version of torch in .venv with its local part; empty if torch is not installed."""
    command = [str(PYTHON), "-c", "from importlib.metadata import version; print(version('torch'))"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    return result.stdout.strip() if result.returncode == 0 else ""


def torch_fits(choice: str) -> bool:
    """Return whether the torch in .venv is the pinned CPU build that a machine without a GPU needs."""
    return choice == "cpu" and installed_torch() == f"{pinned('torch')}+cpu"


def install_torch(choice: str) -> None:
    """Install torch alone, from the first source that has the chosen build.

    No CUDA build has the version `2.13.0+cpu`, so gigabytes of CUDA are never installed on a machine without a GPU.
    The index of PyTorch is the second source and is used for torch only, because without a connection to it every
    package would take minutes. The builds on PyPI for systems other than Linux are CPU builds without `+cpu`.
    """
    version = pinned("torch")
    if choice == "cpu" and sys.platform == "linux":
        attempts = [[f"torch=={version}+cpu"], [f"torch=={version}+cpu", "--index-url", CPU_INDEX]]
    elif choice in ("cpu", "cuda"):
        attempts = [[f"torch=={version}"]]
    else:
        attempts = [shlex.split(choice)]
    # If another build of this version is installed, pip replaces it only with this option.
    force = ["--force-reinstall"] if installed_torch() else []
    errors = []
    for attempt in attempts:
        say(f"installing {' '.join(attempt[:1])}" + (f" from {attempt[2]}" if len(attempt) > 2 else ""))
        failure = install("--no-deps", *force, *attempt)
        if failure is None:
            return
        errors.append(failure)
    raise SetupError(
        f"torch could not be installed for the choice {shlex.quote(choice)}; set another one in DIMPLE_TORCH"
        f" (see python3 dev.py --help)\n{tail(errors[-1])}"
    )


def install_dimple(extras: "list[str]") -> None:
    """Install the checkout, editable, and its libraries at the pinned versions, with the installed torch."""
    text = (ROOT / "constraints.txt").read_text()
    torch = installed_torch() or pinned("torch")
    constraints = VENV / "constraints.txt"
    constraints.write_text(re.sub(r"^torch==.*$", f"torch=={torch}", text, flags=re.MULTILINE))
    target = f".[{','.join(extras)}]" if extras else "."
    say(f"installing dimple{target[1:]} and the libraries it needs")
    # The build tools have pinned versions too, which an isolated build would ignore.
    for step in (["hatchling", "editables"], ["--no-build-isolation", "--editable", target]):
        failure = install("--constraint", str(constraints), *step)
        if failure is not None:
            raise SetupError(f"pip could not install {step[-1]}\n{tail(failure)}")
    error = starts()
    if error:
        raise SetupError(f"dimple was installed but does not start\n{tail(error)}")


def starts() -> str:
    """Return the error of importing torch and dimple; empty if both can be imported."""
    command = [str(PYTHON), "-c", "import torch, dimple"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    return "" if result.returncode == 0 else f"{result.stderr}\nexit status {result.returncode}"


def install(*arguments: str) -> "str | None":
    """Install by uv, which takes a tenth of the time of pip, or by pip if uv fails; return None or the error."""
    uv = program("uv")
    if not uv.exists():
        pip("install", f"uv=={pinned('uv')}")
    if (
        uv.exists()
        and run([str(uv), "pip", "install", "--python", str(PYTHON), *sources(arguments), *arguments]) is None
    ):
        return None
    return pip("install", *arguments)


def sources(options: "tuple[str, ...]") -> "list[str]":
    """Return the package sources of pip as options of uv, which does not read the configuration of pip.

    Args:
        options: further options, which replace those of the same name.
    """
    listed = subprocess.run([str(PYTHON), "-m", "pip", "config", "list"], capture_output=True, text=True, check=False)
    # Like pip, uv takes the newest version from all sources.
    found = ["--index-strategy", "unsafe-best-match"]
    for name, addresses in re.findall(r"^\S+\.((?:extra-)?index-url|find-links)='(.*)'$", listed.stdout, re.MULTILINE):
        for address in addresses.replace(r"\n", " ").split() if f"--{name}" not in options else ():
            found += [f"--{name}", address]
    return found


def pip(*arguments: str) -> "str | None":
    """Run pip quietly; return None, or its output if it failed."""
    return run([str(PYTHON), "-m", "pip", "--disable-pip-version-check", "--no-input", *arguments])


def run(command: "list[str]") -> "str | None":
    """Run a program quietly; return None, or its output if it failed."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return None if done.returncode == 0 else done.stdout + done.stderr


def program(name: str) -> Path:
    """Return the path of a command of the virtual environment."""
    return PYTHON.parent / (f"{name}.exe" if os.name == "nt" else name)


def tail(text: str) -> str:
    """Return the last lines of the output of a tool."""
    return "\n".join(f"    {line}" for line in text.strip().splitlines()[-15:])


def say(message: str) -> None:
    """Print a line of progress with the time since the start."""
    print(f"[{time.perf_counter() - STARTED:5.0f} s] {message}", flush=True)


STARTED = time.perf_counter()

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
