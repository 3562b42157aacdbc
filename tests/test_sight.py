"""Pictures: what a model is shown of an image, and what of it reaches which model."""

import base64
import io
import json
import os
from itertools import pairwise

import pytest
from PIL import Image

from agent.errors import Permanent
from agent.files.images import SEEN_SIDE, picture_uri
from agent.llm.capabilities import LEFT, PICTURE, RIGHT
from agent.llm.messages import PICTURE_CHARS, Content, chars, outgoing, with_pictures, without_pictures
from agent.llm.providers import ModelChoice
from agent.records import Capabilities, Json
from tests.files import blank_png
from tests.provider import Answer, call, fault, provider, says
from tests.test_gateway import ask, choice


def image_file(kind: str, size: tuple[int, int] = (64, 48), *, mode: str = "RGB", noise: bool = False) -> bytes:
    pixels = size[0] * size[1] * len(mode)
    image = Image.frombytes(mode, size, os.urandom(pixels)) if noise else Image.new(mode, size, "red")
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


def opened(uri: str) -> Image.Image:
    head, _, data = uri.partition(",")
    image = Image.open(io.BytesIO(base64.b64decode(data, validate=True)))
    assert head == f"data:image/{(image.format or '').lower()};base64"
    return image.convert("RGB")


# -- from a file to a picture ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP"])
def test_every_kind_becomes_a_picture(kind: str) -> None:
    picture = opened(picture_uri(image_file(kind)) or "")
    red, green, blue = picture.getpixel((5, 5))  # type: ignore[misc]
    assert picture.size == (64, 48)
    assert red > 240 > 15 > max(green, blue)


def test_a_large_photograph_is_made_small() -> None:
    uri = picture_uri(image_file("PNG", (2048, 1024), noise=True)) or ""
    assert opened(uri).size == (SEEN_SIDE, SEEN_SIDE // 2)
    assert len(uri) < 500_000


def test_the_same_file_is_the_same_picture() -> None:
    data = image_file("WEBP")
    assert picture_uri(data) == picture_uri(data)


HOSTILE = {
    "no image": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    "nothing": b"",
    "cut off": image_file("PNG", noise=True)[:1000],
    "only a header": image_file("JPEG")[:20],
    "a bomb": blank_png(6_000, 6_000),
    "a lie about its size": image_file("PNG").replace(b"\0\0\0\x40\0\0\0\x30", b"\x7f\xff\xff\xff\x7f\xff\xff\xff"),
    "another format behind the magic": b"\x89PNG\r\n\x1a\n" + image_file("BMP"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_cannot_be_shown_is_no_picture(name: str) -> None:
    assert picture_uri(HOSTILE[name]) is None


def test_the_picture_of_the_probe_is_sound_and_has_its_colours() -> None:
    Image.open(io.BytesIO(base64.b64decode(PICTURE.partition(",")[2]))).verify()  # pillow draws damaged ones too
    halves = {(255, 255, 0): LEFT, (0, 0, 255): RIGHT}
    picture = opened(PICTURE)
    for y in range(picture.height):
        assert [halves[picture.getpixel((x, y))] for x in (0, 31, 32, 63)] == [LEFT, LEFT, RIGHT, RIGHT]  # type: ignore[index]


# -- from a picture to a model -----------------------------------------------------------------------------------------

PICTURES = {"a.png": PICTURE, "b.png": PICTURE}
TASK: list[Json] = [
    {"role": "system", "content": "S"},
    {"role": "user", "content": with_pictures("Build it.", PICTURES)},
]


def capabilities_of(one: ModelChoice, **known: object) -> Capabilities:
    return Capabilities.model_validate({"key": one.capabilities_key, "made_at": 0.0, **known})


def test_what_is_not_seen_is_the_text_as_it_was() -> None:
    def unseen(content: Content) -> object:
        return without_pictures({"role": "user", "content": content})["content"]

    assert unseen(with_pictures("text", PICTURES)) == "text"
    assert with_pictures("text", {}) == unseen("text") == "text"
    assert json.dumps(unseen([{"type": "text", "text": "a"}])) == '[{"type": "text", "text": "a"}]'


def test_a_picture_counts_as_what_it_costs_not_as_its_bytes() -> None:
    assert chars(TASK) == len("Sa.png:b.png:Build it.") + 2 * PICTURE_CHARS


def test_only_a_model_that_sees_is_shown_pictures() -> None:
    one = ModelChoice(name="openai/a")
    seeing = one.model_copy(update={"capabilities": capabilities_of(one, images=True)})
    blind = one.model_copy(update={"capabilities": capabilities_of(one, images=False)})
    assert outgoing(TASK, seeing) == TASK
    assert outgoing(TASK, blind) == outgoing(TASK, one) == [TASK[0], {"role": "user", "content": "Build it."}]


def sent(script: list[Answer], *, mode: str = "native", turns: int = 1) -> list[Json]:
    """The requests of a conversation with pictures."""
    messages = list(TASK)
    with provider(script) as server:
        one = choice(server.url, tool_mode=mode)
        for _ in range(turns):
            reply = ask(one, messages=messages, capabilities=[capabilities_of(one, images=True)])
            results = [{"role": "tool", "tool_call_id": made.id, "content": "done"} for made in reply.calls]
            messages += [reply.message, *results]
    return [request.body for request in server.requests]


@pytest.mark.parametrize(
    ("mode", "answer"), [("native", call("run_check")), ("text", says("CALL: run_check\n````\n{}\n````"))]
)
def test_pictures_stay_where_they_are_while_the_conversation_grows(mode: str, answer: Answer) -> None:
    requests = [body["messages"] for body in sent([answer] * 3, mode=mode, turns=3)]
    assert all(later[: len(earlier)] == earlier for earlier, later in pairwise(requests))
    assert json.dumps(requests[0]).count(PICTURE) == 2


def test_a_provider_that_refuses_pictures_is_asked_without_them() -> None:
    requests = sent([fault(400, "image too small"), says("ok")])
    assert [json.dumps(body).count(PICTURE) for body in requests] == [2, 0]


@pytest.mark.parametrize(
    ("name", "form"), [("anthropic/claude-sonnet-4-5", "source"), ("gemini/gemini-x", "inline_data")]
)
def test_other_providers_get_pictures_in_their_own_form(name: str, form: str) -> None:
    with provider([fault(401, "no")]) as server:
        one = choice(server.url, name)
        with pytest.raises(Permanent):
            ask(one, messages=TASK, capabilities=[capabilities_of(one, images=True)])
    (request,) = server.requests
    assert json.dumps(request.body).count(f'"{form}"') == 2
    assert json.dumps(request.body).count(PICTURE.partition(",")[2]) == 2
