"""What a Wyoming server of ours says of itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wyoming.info import AsrModel, AsrProgram, Attribution, Info, TtsProgram, TtsVoice

from streamst import __version__

if TYPE_CHECKING:
    from streamst.pipeline import Pipeline

OURS = Attribution("StreamST", "")


def describe(pipeline: Pipeline) -> Info:
    """A recogniser that writes every target's language and the source's, and the voice, where there is one."""
    languages = [*pipeline.targets, pipeline.source]
    told = f"{pipeline.source} speech as {', '.join(pipeline.targets)} or {pipeline.source} text, while it is spoken"
    known = {"attribution": OURS, "installed": True, "version": __version__}
    model = AsrModel(name=pipeline.name, description=told, languages=languages, **known)
    asr = AsrProgram(
        name="streamst", description=told, models=[model], supports_transcript_streaming=True,
        requires_external_vad=True, prefers_auto_gain_enabled=False, prefers_noise_reduction_enabled=False, **known,
    )  # fmt: skip
    if pipeline.voice is None:
        return Info(asr=[asr])
    language = pipeline.voice.language
    voice = TtsVoice(
        name=f"streamst-{language}", description=f"speaks {language}, word by word", languages=[language], **known
    )
    tts = TtsProgram(
        name="streamst", description=f"the voice of {pipeline.name}", voices=[voice],
        supports_synthesize_streaming=True, **known,
    )  # fmt: skip
    return Info(asr=[asr], tts=[tts])
