"""`streamst doctor` and `streamst models`: what is on this machine."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from streamst.errors import StreamstError

from .view import out, shown

if TYPE_CHECKING:
    from streamst.inventory import ModelInfo

MARKS = {"works": Text("works", "green"), "absent": Text("absent", "yellow"), "broken": Text("broken", "bold red")}


def doctor(
    trial: Annotated[bool, typer.Option(help="Also load the model and let it hear three seconds.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    watermark: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Only say whether this recording was spoken by StreamST.")
    ] = None,
) -> None:
    """Say what works on this machine, and how to mend what does not. Exit code 1 when translating cannot work."""
    if watermark is not None:
        _look_for_mark(watermark, as_json)
        return
    from streamst.doctor import examine

    with shown("Looking around"):
        findings = examine(trial)
    if as_json:
        typer.echo(json.dumps([asdict(finding) for finding in findings], indent=1))
    else:
        table = Table.grid(padding=(0, 2))
        for finding in findings:
            told = Text(finding.detail)
            if finding.mend:
                told.append(f"\n-> {finding.mend}", "cyan")
            table.add_row(MARKS[finding.state], Text(finding.name, "bold"), told)
        out.print(table)
    broken = [finding.name for finding in findings if finding.state == "broken"]
    if not as_json:
        out.print(f"\nBroken: {', '.join(broken)}" if broken else "\nEverything that translating needs works here.")
    raise typer.Exit(1 if broken else 0)


def _look_for_mark(path: Path, as_json: bool) -> None:
    """Exit code 0 when the mark is there, 1 when it is not."""
    from streamst.audio import read_audio
    from streamst.watermark import detect

    with shown(f"Listening to {path}"):
        finding = detect(read_audio(path))
    if as_json:
        typer.echo(json.dumps(asdict(finding) | {"marked": finding.marked}))
    else:
        told = "synthetic: it carries StreamST's watermark" if finding.marked else "no watermark of StreamST's"
        out.print(f"{path}: {told} (score {finding.score:.1f}, {finding.needed:.1f} needed)", soft_wrap=True)
    raise typer.Exit(0 if finding.marked else 1)


def models(
    check: Annotated[bool, typer.Option("--check", help="Read the weights and compare their hashes.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the models, in the package and in the cache, and the parts that can stand in for theirs: sizes, hashes,
    quality, what a part needs that is not installed."""
    from streamst.backends.catalog import parts
    from streamst.inventory import cache_directory
    from streamst.inventory import models as found_models
    from streamst.model_file import SHIPPED

    offers = {name: _offered(name) for name in SHIPPED}
    found, others = found_models(check_hashes=check), parts()
    if as_json:
        told = [asdict(model) | {"path": str(model.path)} for model in found]
        listed = {"models": offers, "networks": told}
        typer.echo(json.dumps({**listed, "parts": [asdict(part) for part in others]}, indent=1))
        return
    for name, offer in offers.items():
        out.print(Text.assemble((f"--model {name}", "bold"), f"  {offer}"), soft_wrap=True)
    for model in found:
        _show_model(model, check)
    if not found:
        out.print(f"No models: none in the package, none in {cache_directory()}", soft_wrap=True)
    for part in others:
        usable = Text("usable here", "green") if not part.lacks else Text(part.lacks, "yellow")
        out.print(Text.assemble((f"--{part.kind} {part.name}", "bold"), f"  {part.what}: ", usable), soft_wrap=True)


def _offered(name: str) -> str:
    """What a model has of its own: languages, recognisers, voices; or what is wrong with it."""
    from streamst.model_file import model_named

    try:
        model = model_named(name).file
    except StreamstError as error:
        return str(error)
    told = f"{model.source} to {', '.join(model.targets)}; recognisers {', '.join(model.recognisers)}"
    return f"{told}; voices for {', '.join(model.voices)}" if model.voices else f"{told}; no voice"


def _show_model(model: ModelInfo, checked: bool) -> None:
    size = f"{model.size_bytes / 2**20:.1f} MiB"
    out.print(Text.assemble((model.name, "bold"), f"  {model.kind}  {size}  in the {model.origin}"), soft_wrap=True)
    if model.sha256:
        verified = " (verified)" if checked and not model.trouble else ""
        out.print(f"  SHA-256 {model.sha256}{verified}", soft_wrap=True)
    if model.quality:
        out.print(f"  {model.quality}", soft_wrap=True)
    if model.trouble:
        out.print(f"  {model.trouble}", style="red", soft_wrap=True)
