"""English as it is heard and counted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamst.evaluate.metrics.quality import edit_counts
from streamst.languages.english import spoken_english
from streamst.languages.english.spoken import normalise


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("Don't!", "don't"),
        ("'Hello,' she said — twice.", "hello she said twice"),
        ("It's the 21st of May, 1984.", "it's the twenty first of may nineteen eighty four"),
        ("1,250 cafés", "one thousand two hundred and fifty cafes"),
        ("Mr. O’Neil paid 20% at 5:30.", "mister o'neil paid twenty percent at five thirty"),
        ("你好 😀", ""),
        ("Mr. Smith finished 1st at 12:00.", "mister smith finished first at twelve o'clock"),
        ("It is 50° outside.", "it is fifty degrees outside"),
        ("3½ hours", "three and a half hours"),
        ("½ a mile", "half a mile"),
        ("1/2 an hour and 1/2 of it", "half an hour and one half of it"),
        ("Henry VIII, Louis XIV and John Paul II", "henry the eighth louis the fourteenth and john paul the second"),
        ("Vol. 3, Fig. 2", "volume three figure two"),
        ("George V's crown", "george the fifth's crown"),
        ("Edward I think is late.", "edward i think is late"),
        ("-5 degrees", "minus five degrees"),
        ("It was −5 °C.", "it was minus five degrees celsius"),
        ("$5", "five dollars"),
        ("$.83", "eighty three cents"),
        ("$3M", "three million dollars"),
        ("$2B", "two billion dollars"),
        ("50¢", "fifty cents"),
        ("10:05am", "ten oh five a m"),
        ("№ 5", "number five"),
        ("Mt. Everest", "mount everest"),
        ("٣ apples", "three apples"),
        ("$1", "one dollar"),
        ("$5.50", "five dollars and fifty cents"),
        ("$0.99", "ninety nine cents"),
        ("£1.01", "one pound and one penny"),
        ("$2.5 million", "two point five million dollars"),
        ("$3bn", "three billion dollars"),
        ("5 €", "five euros"),
        ("the 1990s", "the nineteen nineties"),
        ("the '80s", "the eighties"),
        ("in the 20s", "in the twenties"),
        ("at 3:45", "at three forty five"),
        ("at 3:05 p.m.", "at three oh five p m"),
        ("10:00 AM", "ten a m"),
        ("5pm", "five p m"),
        ("Call 555-1234.", "call five five five one two three four"),
        ("(555) 123-4567", "five five five one two three four five six seven"),
        ("agent 007", "agent zero zero seven"),
        ("20%", "twenty percent"),
        ("3.50", "three point five zero"),
        (".5", "point five"),
        ("version 2.0.1", "version two point zero point one"),
        ("5 km", "five kilometers"),
        ("1 km", "one kilometer"),
        ("60 mph", "sixty miles per hour"),
        ("100 km/h", "one hundred kilometers per hour"),
        ("5kg", "five kilograms"),
        ("20 m²", "twenty square meters"),
        ("16 GB of memory", "sixteen gigabytes of memory"),
        ("70°F", "seventy degrees fahrenheit"),
        ("1905", "nineteen oh five"),
        ("2021", "twenty twenty one"),
        ("2005", "two thousand and five"),
        ("1,905 people", "one thousand nine hundred and five people"),
        ("10-20 people", "ten to twenty people"),
        ("1990–1995", "nineteen ninety to nineteen ninety five"),
        ("1/2", "one half"),
        ("3/4 of it", "three quarters of it"),
        ("1 1/2 cups", "one and a half cups"),
        ("9/11", "nine eleven"),
        ("24/7", "twenty four seven"),
        ("the 3rd, 22nd and 101st", "the third twenty second and one hundred and first"),
        ("2021-05-03", "may third twenty twenty one"),
        ("Dr. Who vs. Prof. X", "doctor who versus professor x"),
        ("St. Paul on Main St.", "saint paul on main street"),
        ("No. 5", "number five"),
        ("No. I do not.", "no i do not"),
        ("#1", "number one"),
        ("World War II", "world war two"),
        ("U.S. troops", "u s troops"),
        ("AT&T", "at and t"),
        ("5 + 3 = 8", "five plus three equals eight"),
        ("straße", "strasse"),
        ("Łódź", "lodz"),
        ("12,345,678", "twelve million three hundred and forty five thousand six hundred and seventy eight"),
        ("I'm in the room; he's 5'.", "i'm in the room he's five"),
        ("The score was 3-2.", "the score was three to two"),
        ("mid-1990s", "mid nineteen nineties"),
        ("a 5-year-old", "a five year old"),
        ("COVID-19", "covid nineteen"),
        ("B2B", "b two b"),
        ("", ""),
        (f"{'1' * 301}, {'2' * 5_000}th", " ".join(["one"] * 301 + ["two"] * 5_000)),
    ],
)
def test_english_is_spelled_as_it_is_spoken(written: str, spoken: str) -> None:
    assert spoken_english(written) == spoken
    assert spoken_english(spoken) == spoken
    if spoken:
        assert edit_counts("WER", spoken, written, "streamst-en-1") == (0, len(normalise(written).split()))


LATIN = st.characters(max_codepoint=0x17F, exclude_categories=["Cc"], exclude_characters="µ")


@given(st.text(LATIN | st.sampled_from("0123456789:/.,-$%° ½’€§"), max_size=40))
def test_what_is_heard_without_a_mistake_counts_no_error(text: str) -> None:
    assert normalise(spoken_english(text)) == normalise(text)
    assert normalise(normalise(text)) == normalise(text)
    assert spoken_english(spoken_english(text)) == spoken_english(text)
