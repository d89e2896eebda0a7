#!/usr/bin/env python3
"""From a fresh checkout to a running dimple, with Python 3.11 or newer and nothing else.

    python3 dev.py demo          set up, then simulate scenes/sphere_in_3d.yaml into runs/demo
    python3 dev.py test [...]    set up, then run the tests; further arguments go to pytest
    python3 dev.py lint          set up, then ruff, mypy and import-linter
    python3 dev.py setup [...]   only set up, with these extras as well: napari, docs, bench, test, dev

The virtual environment is .venv, the versions are those of constraints.txt. Without an NVIDIA GPU (`nvidia-smi -L`)
torch is a CPU build, with one it is the CUDA build. DIMPLE_TORCH=cpu or =cuda decides instead, and so does any
requirement with pip's own options: DIMPLE_TORCH="torch==2.13.0 --index-url https://download.pytorch.org/whl/cu126".
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
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
EXTRAS = ("bench", "dev", "docs", "napari", "test")


class SetupError(Exception):
    """What went wrong, in one sentence, with the end of the tool's own words below it."""


def main(arguments: "list[str]") -> int:
    """Run one verb and return its exit code."""
    verb, rest = (arguments[0], arguments[1:]) if arguments else ("", [])
    verbs = {"demo": demo, "test": test, "lint": lint, "setup": lambda extras: set_up(extras) or 0}
    if verb not in verbs:
        print(__doc__, file=sys.stdout if verb in ("-h", "--help") else sys.stderr)
        return 0 if verb in ("-h", "--help") else 2
    # Old Pythons must get as far as this sentence, hence the quotes around newer annotations.
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
        print("dev.py: interrupted; the same command goes on from here", file=sys.stderr)
        return 130


def demo(arguments: "list[str]") -> int:
    """Simulate the scene of the README into a folder of its own, and say what to look at."""
    set_up([])
    out = Path("runs") / "demo"
    say(f"dimple simulate {SCENE}")
    command = [program("dimple"), "simulate", SCENE, "--out", out, "--force", *arguments]
    code = subprocess.call([str(word) for word in command])
    if code == 0:
        for label, file in (("film", "film.mp4"), ("report", "report.html"), ("numbers", "metrics.parquet")):
            if (ROOT / out / file).exists():
                print(f"{label:>8}: {ROOT / out / file}")
        print(f"{'window':>8}: {program('dimple')} view {out}")
    return code


def test(arguments: "list[str]") -> int:
    """Run the tests."""
    set_up(["test"])
    return subprocess.call([str(PYTHON), "-m", "pytest", *arguments])


def lint(_: "list[str]") -> int:
    """Run every static check, also after one has failed; the exit code of the first failure."""
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


def set_up(extras: "list[str]") -> None:
    """Bring .venv to the state that the files ask for; at once where it is there already.

    The stamp is written last, so that what an interrupt or a full disk left half done is done again.
    """
    for extra in extras:
        if extra not in EXTRAS:
            raise SetupError(f"there is no extra {extra!r}; choose from {', '.join(EXTRAS)}")
    stamp = read_stamp()
    # A choice once made is kept until DIMPLE_TORCH says otherwise: a checkout may be shared by machines with and
    # without a GPU.
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
    """What the last finished setup wrote; empty where there was none."""
    try:
        stamp = json.loads(STAMP.read_text())
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) else {}


def fingerprint() -> str:
    """A number that changes with everything that decides what is installed."""
    digest = hashlib.sha256(str(ROOT).encode())
    for file in (ROOT / "pyproject.toml", ROOT / "constraints.txt", VENV / "pyvenv.cfg"):
        digest.update(file.read_bytes() if file.exists() else b"")
    return digest.hexdigest()


def has_gpu() -> bool:
    """Whether NVIDIA's driver answers and lists a GPU."""
    if shutil.which("nvidia-smi") is None:
        return False
    return subprocess.run(["nvidia-smi", "-L"], capture_output=True, check=False).returncode == 0


def make_environment() -> None:
    """Make .venv, or make it anew where its Python is gone, too old, or cannot get a pip."""
    question = [str(PYTHON), "-c", "import sys; sys.exit(sys.version_info < (3, 11))"]
    if PYTHON.exists() and subprocess.run(question, capture_output=True, check=False).returncode == 0:
        has_pip = [str(PYTHON), "-m", "pip", "--version"]
        get_pip = [str(PYTHON), "-m", "ensurepip"]
        if any(subprocess.run(way, capture_output=True, check=False).returncode == 0 for way in (has_pip, get_pip)):
            return
    say(f"making .venv with Python {'.'.join(map(str, sys.version_info[:3]))}")
    command = [sys.executable, "-m", "venv", "--clear", str(VENV)]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    if made.returncode != 0:
        hint = "on Debian and Ubuntu: apt-get install python3-venv"
        raise SetupError(f"python -m venv failed ({hint})\n{tail(made.stdout + made.stderr)}")


def pinned(package: str) -> str:
    """The version of a package in constraints.txt."""
    found = re.search(rf"^{package}==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    if found is None:
        raise SetupError(f"constraints.txt pins no {package}; restore that line")
    return found[1]


def installed_torch() -> str:
    """The version of torch in .venv, with its local part; empty where there is none."""
    question = [str(PYTHON), "-c", "from importlib.metadata import version; print(version('torch'))"]
    answer = subprocess.run(question, capture_output=True, text=True, check=False)
    return answer.stdout.strip() if answer.returncode == 0 else ""


def torch_fits(choice: str) -> bool:
    """Whether the torch in .venv is the pinned CPU build that a machine without a GPU needs."""
    return choice == "cpu" and installed_torch() == f"{pinned('torch')}+cpu"


def install_torch(choice: str) -> None:
    """Install torch alone, from the first source that has the chosen build.

    `2.13.0+cpu` is a name that no CUDA build has, so a machine without a GPU cannot end up with gigabytes of CUDA.
    PyTorch's own index comes second and serves torch only: where it is out of reach, asking it for every package costs
    minutes. Apart from Linux, PyPI's builds are CPU builds under the plain name.
    """
    version = pinned("torch")
    if choice == "cpu" and sys.platform == "linux":
        attempts = [[f"torch=={version}+cpu"], [f"torch=={version}+cpu", "--index-url", CPU_INDEX]]
    elif choice in ("cpu", "cuda"):
        attempts = [[f"torch=={version}"]]
    else:
        attempts = [shlex.split(choice)]
    # Where pip sees some build of this version already, only force makes it take the other.
    force = ["--force-reinstall"] if installed_torch() else []
    words = []
    for attempt in attempts:
        say(f"installing {' '.join(attempt[:1])}" + (f" from {attempt[2]}" if len(attempt) > 2 else ""))
        failure = install("--no-deps", *force, *attempt)
        if failure is None:
            return
        words.append(failure)
    raise SetupError(
        f"torch could not be installed as {shlex.quote(choice)} asks; choose another build by DIMPLE_TORCH"
        f" (see python3 dev.py --help)\n{tail(words[-1])}"
    )


def install_dimple(extras: "list[str]") -> None:
    """Install the checkout, editable, and its libraries at the pinned versions, around the torch that is there."""
    text = (ROOT / "constraints.txt").read_text()
    torch = installed_torch() or pinned("torch")
    constraints = VENV / "constraints.txt"
    constraints.write_text(re.sub(r"^torch==.*$", f"torch=={torch}", text, flags=re.MULTILINE))
    target = f".[{','.join(extras)}]" if extras else "."
    say(f"installing dimple{target[1:]} and the libraries it needs")
    # The build tools come from the same pins, which an isolated build would not see.
    for step in (["hatchling", "editables"], ["--no-build-isolation", "--editable", target]):
        failure = install("--constraint", str(constraints), *step)
        if failure is not None:
            raise SetupError(f"pip could not install {step[-1]}\n{tail(failure)}")
    complaint = starts()
    if complaint:
        raise SetupError(f"dimple was installed but does not start\n{tail(complaint)}")


def starts() -> str:
    """What is wrong with the environment; empty where torch and dimple can be imported."""
    question = [str(PYTHON), "-c", "import torch, dimple"]
    answer = subprocess.run(question, capture_output=True, text=True, check=False)
    return "" if answer.returncode == 0 else f"{answer.stderr}\nexit status {answer.returncode}"


def install(*arguments: str) -> "str | None":
    """Install by uv, which takes a tenth of pip's time, or by pip where uv cannot; None, or what pip said last."""
    uv = program("uv")
    if not uv.exists():
        pip("install", f"uv=={pinned('uv')}")
    if (
        uv.exists()
        and run([str(uv), "pip", "install", "--python", str(PYTHON), *sources(arguments), *arguments]) is None
    ):
        return None
    return pip("install", *arguments)


def sources(asked: "tuple[str, ...]") -> "list[str]":
    """Where pip has been told to look, as options of uv, which does not read pip's configuration.

    Args:
        asked: options that come behind these, and replace their like.
    """
    listed = subprocess.run([str(PYTHON), "-m", "pip", "config", "list"], capture_output=True, text=True, check=False)
    # As pip does it, the newest version wins wherever it lies.
    options = ["--index-strategy", "unsafe-best-match"]
    for name, places in re.findall(r"^\S+\.((?:extra-)?index-url|find-links)='(.*)'$", listed.stdout, re.MULTILINE):
        for place in places.replace(r"\n", " ").split() if f"--{name}" not in asked else ():
            options += [f"--{name}", place]
    return options


def pip(*arguments: str) -> "str | None":
    """Run pip quietly; None, or what it said when it failed."""
    return run([str(PYTHON), "-m", "pip", "--disable-pip-version-check", "--no-input", *arguments])


def run(command: "list[str]") -> "str | None":
    """Run a program quietly; None, or what it said when it failed."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return None if done.returncode == 0 else done.stdout + done.stderr


def program(name: str) -> Path:
    """A command of the virtual environment."""
    return PYTHON.parent / (f"{name}.exe" if os.name == "nt" else name)


def tail(text: str) -> str:
    """The last lines of a tool's output."""
    return "\n".join(f"    {line}" for line in text.strip().splitlines()[-15:])


def say(message: str) -> None:
    """A line of progress with the time since the start."""
    print(f"[{time.perf_counter() - STARTED:5.0f} s] {message}", flush=True)


STARTED = time.perf_counter()

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
