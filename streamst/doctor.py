"""What works on this machine, and how to mend what does not."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from streamst import __version__, inventory
from streamst.backends.catalog import PartInfo, parts
from streamst.errors import StreamstError, UnavailableError

if TYPE_CHECKING:
    from streamst.pipeline import Pipeline
    from streamst.session import Session

State = Literal["works", "absent", "broken"]
ENOUGH_MEMORY_BYTES = 2 << 30
TRIAL_S = 3.0  # of noise, heard to measure the speed


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. "absent" is something optional; "broken" is needed for translating."""

    name: str
    state: State
    detail: str
    mend: str = ""


def examine(trial: bool = True) -> list[Finding]:
    """Look at everything; with `trial` also load the shipped model and let it hear a few seconds."""
    checks: list[Callable[[], Finding]] = [_python, _memory, _torch, _gpu, _audio_files, _microphone]
    findings = [check() for check in checks] + _weights()
    if trial and not any(finding.state == "broken" for finding in findings):
        findings.append(_trial())
    findings += [_part(part) for part in parts()]
    findings += [_program(*program) for program in PROGRAMS]
    return findings


def _python() -> Finding:
    detail = f"{platform.python_version()} on {platform.system()} {platform.machine()}, StreamST {__version__}"
    return Finding("Python", "works", detail)


def _memory() -> Finding:
    free = available_memory_bytes()
    if free is None:
        return Finding("Memory", "works", "this system does not say how much is free")
    detail = f"{free / 2**30:.1f} GiB free"
    if free < ENOUGH_MEMORY_BYTES:
        return Finding("Memory", "broken", detail, f"close programs until {ENOUGH_MEMORY_BYTES >> 30} GiB are free")
    return Finding("Memory", "works", detail)


def available_memory_bytes() -> int | None:
    """Memory that a new program may use; None where the system does not tell."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            for line in file:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, AttributeError):
        return None


def _torch() -> Finding:
    try:
        import torch
    except (ImportError, OSError) as error:
        return Finding("PyTorch", "broken", str(error), "python -m pip install torch")
    cores = os.cpu_count() or 1
    detail = f"{torch.__version__}, {torch.get_num_threads()} of {cores} cores"
    return Finding("PyTorch", "works", detail)


def _gpu() -> Finding:
    try:
        import torch

        if torch.cuda.is_available():
            gpu = torch.cuda.get_device_properties(0)
            return Finding("GPU", "works", f"{gpu.name}, {gpu.total_memory / 2**30:.0f} GiB")
        built = torch.version.cuda is not None
    except (ImportError, OSError, RuntimeError) as error:
        return Finding("GPU", "absent", f"cannot be asked: {error}")
    if shutil.which("nvidia-smi") is None:
        return Finding("GPU", "absent", "none; translating runs on the CPU")
    mend = "update the NVIDIA driver" if built else "install a PyTorch build with CUDA; this one is for the CPU only"
    return Finding("GPU", "absent", "an NVIDIA GPU is here, PyTorch cannot use it", mend)


def _audio_files() -> Finding:
    mend = "python -m pip install --upgrade soundfile soxr"
    try:
        import soundfile
        import soxr
    except (ImportError, OSError) as error:
        return Finding("Audio files", "broken", str(error), mend)
    known = soundfile.available_formats()
    missing = [name for name in ("WAV", "FLAC", "OGG", "MP3") if name not in known]
    detail = f"libsndfile {soundfile.__libsndfile_version__}, soxr {soxr.__version__}"
    if missing:
        return Finding("Audio files", "absent", f"{detail}; not read: {', '.join(missing)}", mend)
    return Finding("Audio files", "works", f"{detail}: WAV, FLAC, Ogg, MP3")


def _microphone() -> Finding:
    from streamst import sound

    try:
        name = sound.microphone_name()
    except UnavailableError as error:
        trouble, _, mend = str(error).partition(": ")
        return Finding("Microphone", "absent", f"{trouble}; only `streamst mic` needs it", mend)
    return Finding("Microphone", "works", f"{name}, through PortAudio")


def _weights() -> list[Finding]:
    mend = "reinstall StreamST: its package carries the models"
    try:
        found = inventory.models(check_hashes=True)
    except (ImportError, OSError) as error:
        return [Finding("Models", "broken", str(error), mend)]
    if not any(model.origin == "package" for model in found):
        return [Finding("Models", "broken", f"none in {inventory.ASSETS}", mend)]
    findings: list[Finding] = []
    for model in found:
        name = f"Model {model.name}"
        if model.trouble:
            repair = mend if model.origin == "package" else f"remove {model.path} and fetch it again"
            findings.append(Finding(name, "broken" if model.origin == "package" else "absent", model.trouble, repair))
        else:
            detail = f"{model.kind}, {model.size_bytes / 2**20:.1f} MiB, SHA-256 {model.sha256[:12]}… verified"
            findings.append(Finding(name, "works", detail))
    return findings


def _trial() -> Finding:
    """Load the pipeline and let it hear noise: what a person would wait for, and whether it keeps up."""
    from streamst.pipeline import load

    started = time.perf_counter()
    try:
        pipeline = load()
        session = pipeline.session()
    except (StreamstError, RuntimeError) as error:
        return Finding("Translation", "broken", str(error), "reinstall StreamST")
    loaded_s = time.perf_counter() - started
    factor = _heard_in(pipeline, session)
    detail = f"loads in {loaded_s:.1f} s, hears one second in {factor:.2f} s"
    if factor < 1:
        return Finding("Translation", "works", detail)
    return Finding("Translation", "absent", f"{detail}: too slow for live speech", "stop other programs, or use a GPU")


def hears_in(pipeline: Pipeline) -> float:
    """Seconds that one second of one speaker takes here, spoken translation included."""
    return _heard_in(pipeline, pipeline.session())


def _heard_in(pipeline: Pipeline, session: Session) -> float:
    import numpy as np

    step = pipeline.sample_rate_hz // 10
    samples = (round(TRIAL_S * pipeline.sample_rate_hz),)
    noise = (np.random.default_rng(0).standard_normal(samples) / 100).astype(np.float32)
    started = time.perf_counter()
    for begin in range(0, len(noise), step):
        session.push(noise[begin : begin + step])
    session.finish()
    return (time.perf_counter() - started) / TRIAL_S


def _part(part: PartInfo) -> Finding:
    trouble, _, mend = part.lacks.partition("; get it with: ")
    name = f"--{part.kind} {part.name}"
    return Finding(name, "absent" if trouble else "works", f"{trouble}; {part.what}" if trouble else part.what, mend)


def _program(name: str, arguments: tuple[str, ...], use: str, mend: str) -> Finding:
    path = shutil.which(name)
    if path is None:
        return Finding(name, "absent", f"not installed; {use}", mend)
    try:
        told = subprocess.run([path, *arguments], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return Finding(name, "absent", f"{path} does not run: {error}", mend)
    lines = (told.stdout or told.stderr).strip().splitlines()
    return Finding(name, "works", f"{lines[0][:60] if lines else path}; {use}")


PROGRAMS = (
    ("espeak-ng", ("--version",), "for its voices, and for making training speech", "apt install espeak-ng"),
    ("flite", ("--version",), "only for making training speech", "apt install flite"),
    ("ffmpeg", ("-version",), "only for taking the sound out of videos", "apt install ffmpeg"),
)
