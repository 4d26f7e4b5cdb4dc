"""A page of somebody else's: Chromium's own WebRTC calls the server, as it would call OpenAI's."""
# ruff: noqa: F811  (fixtures that are imported have the names of the tests' parameters)

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from aioice import ice
from browsing import (
    Browse,
    browse,  # noqa: F401
    clip,  # noqa: F401
    playwright,  # noqa: F401
    until,
)
from serving import health, running

from streamst.pipeline import Pipeline

pytestmark = pytest.mark.browser

PAGE = (Path(__file__).parents[1] / "docs" / "integrations.md").read_text(encoding="utf-8")
(EXAMPLE,) = re.findall(r"<!-- run in a page -->\n```js\n(.*?)```", PAGE, re.DOTALL)
CALL = """
window.told = [];
console.log = (event) => told.push(event);
window.call = async () => {
  const SECRET = "any", player = window.player = new Audio();
  player.autoplay = true;
  EXAMPLE
  Object.assign(window, {peer, events});
  return answer.status;
};
window.energy = async () => {
  const heard = [...(await peer.getStats()).values()].filter(({type}) => type === "inbound-rtp");
  return Math.max(0, ...heard.map(({totalAudioEnergy}) => totalAudioEnergy || 0));
};
""".replace("EXAMPLE", EXAMPLE.replace("https://HOST", ""))


@pytest.fixture(scope="module")
def light(tiny_pipeline: Pipeline) -> Iterator[str]:
    """The address of a server that is met at 127.0.0.1, which ICE leaves out by itself."""
    with pytest.MonkeyPatch.context() as patch, running(tiny_pipeline) as address:
        patch.setattr(ice, "get_host_addresses", lambda **_: ["127.0.0.1"])
        yield address


def test_chromium_calls_and_reads_and_hears_the_translation(light: str, browse: Browse) -> None:
    context = browse("--allow-loopback-in-peer-connection", "--disable-features=WebRtcHideLocalIpsWithMdns")
    context.add_init_script(CALL)
    page = context.new_page()
    page.goto(light + "/")
    assert page.evaluate("call()") == 201
    kinds = "[...new Set(told.map(({type}) => type))]"
    until(page, lambda: "session.output_transcript.delta" in page.evaluate(kinds))
    until(page, lambda: page.evaluate("energy()") > 1e-4)
    page.evaluate("""events.send('{"type":"session.close"}')""")
    until(page, lambda: "session.closed" in page.evaluate(kinds))
    assert page.evaluate("told.filter(({type}) => type === 'error')") == []
    page.evaluate("peer.close()")
    until(page, lambda: not health(light)["sessions"])
