"""Signing and verifying messages: vectors that others published, other libraries on the other side, and properties."""

from __future__ import annotations

import base64
import hashlib
import hmac
import pickle
import string
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import pytest
import standardwebhooks
import stripe
from hypothesis import given
from hypothesis import strategies as st

from keystile import ConfigurationError, KeystileError
from keystile.webhooks import InvalidSignature, Received, Scheme, Secret, sign, verify
from keystile.webhooks.secrets import HmacKey

NOW = 1614265330
ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
WHSEC = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_MDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAw"
BODY = b'{"test": 2432232314}'
PRIVATE = "whsk_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
PUBLIC = "whpk_A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg="
STANDARD, STRIPE, HEX = Scheme.standard(), Scheme.timestamped("Stripe-Signature"), Scheme.hex_body("X-Anthyx-Signature")
SCHEMES = {"standard": STANDARD, "timestamped": STRIPE, "hex_body": HEX}
EVENT = b'{"id":"evt_1","object":"event"}'
STRIPES_OWN = (
    b'{\n  "id": "evt_test_webhook",\n  "object": "event",\n'
    b'  "data": { "object": { "id": "rdr_123", "object": "terminal.reader" } }\n}'
)
TIMED = {
    ("whsec_test_secret", EVENT): "42b3d2b2181207b6b299df380bf37599bb895dc182467ba12e046b1916c4cd19",
    ("whsec_old_secret", EVENT): "24649e21dc6ee8f436b4b06fc07aaaf7a620f5ee6cdf35df49ea1db57d38781f",
    ("whsec_test_secret", b""): "2f9d16b2d4c155166668449b6c0b717e91af5563cb1f78a3065927985f4a5900",
    ("whsec_test_secret", STRIPES_OWN): "117f2d4aa1697fc9f837f2feca4e5e23ec790ffa7b6b669073d3677ae48c4b5f",
}
RIGHT = TIMED["whsec_test_secret", EVENT]


def standard(signature: str, *, id: str = ID, timestamp: str = str(NOW)) -> list[tuple[str, str]]:
    return [("webhook-id", id), ("webhook-timestamp", timestamp), ("webhook-signature", signature)]


def verified(headers: Iterable[tuple[Any, Any]], *secrets: str, body: bytes = BODY, now: float = NOW) -> Received:
    return verify(STANDARD, [Secret(each) for each in secrets or (WHSEC,)], headers, body, now=now)


def timed(header: str, *secrets: str, body: bytes = EVENT, now: float = NOW) -> Received:
    listed = [Secret(each) for each in secrets or ("whsec_test_secret",)]
    return verify(STRIPE, listed, {"Stripe-Signature": header}, body, now=now)


@pytest.mark.parametrize(
    ("secret", "body", "signature"),
    [
        (WHSEC, BODY, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
        (WHSEC, b"", "v1,v48jdbgvh29KJz2Qc+ghw8G6vG3nAKnujWBg8oM/62A="),
        (WHSEC, b"\xff\x00", "v1,LnG3WkOzfoRQ/3pDac+/GoNlsrqPs5DiBa7x/DYw13s="),
        (WHSEC, '{"name":"Zoë"}'.encode(), "v1,3Y0uOXEca2zsElJwlDVR3YZoq8JPNDFNFfgiXf6SB8Y="),
        (OTHER, BODY, "v1,+5kEW4isoO3GPIKJu7STjBq8Yx2Y0wxC2GJfH+lipi8="),
        (
            PRIVATE,
            BODY,
            "v1a,yoUrgEkc12aGqm0n4Sydmdz55xJfTz4AsAgieHFjmkR7LJtqVCZOQYzvvHjI5kAey+r4iaBGxTFRrl2iBQxtDQ==",
        ),
    ],
)
def test_the_vectors_of_standard_webhooks(secret: str, body: bytes, signature: str) -> None:
    headers = sign(STANDARD, [Secret(secret)], body, id=ID, now=NOW)
    assert headers == standard(signature)
    assert verified(headers, secret, body=body) == Received(ID, NOW, 0)


def test_a_public_key_verifies_and_cannot_sign() -> None:
    headers = sign(STANDARD, [Secret(PRIVATE)], BODY, id=ID, now=NOW)
    assert verified(headers, PUBLIC) == Received(ID, NOW, 0)
    with pytest.raises(ConfigurationError, match="cannot sign"):
        sign(STANDARD, [Secret(PUBLIC)], BODY, id=ID, now=NOW)
    with pytest.raises(InvalidSignature, match="no signature matches"):
        verified(headers, PUBLIC, body=BODY + b"\n")


@pytest.mark.parametrize(
    ("secret", "body", "digits"),
    [
        (
            b"It's a Secret to Everybody",
            b"Hello, World!",
            "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
        ),
        (
            b"topsecret",
            b'{"event":"post.published","id":"p_1"}',
            "4506819fbf98be5b50d36d1f02baf3c43668cbe9a47316b3c26421b2c4ea00e6",
        ),
        (b"topsecret", b"", "818f9cb88315ac08b5ef83f96650ca6f4e3dddcb4548e4879b746f56b57fa2b0"),
        (b"topsecret", b"\xff\x00\r\n", "16ac916e19c17be1f773fa8ee0c24c5cfffa78a4033cecaaa3efbb091fd96c23"),
    ],
)
def test_the_vectors_of_a_body_signed_in_hex(secret: bytes, body: bytes, digits: str) -> None:
    # Below `Secret`, which takes none as short as that of the vectors.
    key = HmacKey(secret)
    assert HEX.write([key], body, None, NOW) == [("X-Anthyx-Signature", f"sha256={digits}")]
    for written in (digits, digits.upper()):
        claim = HEX.read({b"x-anthyx-signature": [f"sha256={written}".encode()]})
        assert key.verifies([signature for _, signature in claim.signatures], body)


@pytest.mark.parametrize(("given", "digits"), TIMED.items())
def test_the_vectors_of_a_body_signed_with_its_time(given: tuple[str, bytes], digits: str) -> None:
    secret, body = given
    headers = sign(STRIPE, [Secret(secret)], body, now=NOW)
    assert headers == [("Stripe-Signature", f"t={NOW},v1={digits}")]
    assert timed(headers[0][1], secret, body=body) == Received(None, NOW, 0)


def test_all_secrets_sign_and_any_verifies() -> None:
    headers = sign(STANDARD, [Secret(WHSEC), Secret(OTHER), Secret(PRIVATE)], BODY, id=ID, now=NOW)
    assert len(headers[2][1].split(" ")) == 3
    for known in (WHSEC, OTHER, PUBLIC):
        assert verified(headers, "whsec_" + "A" * 32, known).secret_index == 1
    line = sign(STRIPE, [Secret("whsec_test_secret"), Secret("whsec_old_secret")], EVENT, now=NOW)[0][1]
    assert line == f"t={NOW},v1={RIGHT},v1={TIMED['whsec_old_secret', EVENT]}"
    assert timed(line, "whsec_old_secret").secret_index == 0
    with pytest.raises(ConfigurationError, match="one signature"):
        sign(HEX, [Secret("a" * 16), Secret("b" * 16)], BODY, now=NOW)


def test_the_time_may_be_off_by_the_tolerance_and_no_more() -> None:
    headers = sign(STANDARD, [Secret(WHSEC)], BODY, id=ID, now=NOW)
    for off in (-300, -1, 0, 300, 300.9):
        assert verified(headers, now=NOW + off).timestamp == NOW
        assert timed(f"t={NOW},v1={RIGHT}", now=NOW + off).timestamp == NOW
    for off in (-301, 301, 31_536_000):
        with pytest.raises(InvalidSignature, match="too far"):
            verified(headers, now=NOW + off)
        with pytest.raises(InvalidSignature, match="too far"):
            timed(f"t={NOW},v1={RIGHT}", now=NOW + off)
    none = Scheme.standard(tolerance=0)
    assert verify(none, [Secret(WHSEC)], headers, BODY, now=NOW).timestamp == NOW
    with pytest.raises(InvalidSignature):
        verify(none, [Secret(WHSEC)], headers, BODY, now=NOW + 1)


GOOD = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize(
    "signature",
    [
        "",
        "v1",
        "v1,",
        "v1,a,b",
        "v1,!!!",
        "v1,é",
        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OF=",  # the same octets, in another spelling
        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE",
        "v1,g0hM9SsE-OTPJTGt_tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        GOOD.replace("v1,", "v2,"),
        GOOD.replace("v1,", "V1,"),
        GOOD.replace("v1,", ""),
        f"{GOOD}  {GOOD}",
        f"{GOOD},{GOOD}",  # two lines, as WSGI joins them
        f" {GOOD}",
        f"{GOOD}\n",
        " ".join([GOOD] * 17),
        "v1," + "A" * 5000,
    ],
)
def test_signatures_that_are_none(signature: str) -> None:
    with pytest.raises(InvalidSignature):
        verified(standard(signature))


def test_a_version_of_tomorrow_is_passed_over() -> None:
    assert verified(standard(f"v2,whatever v1x,? {GOOD} v1,AAAA")).id == ID
    assert verified(standard(" ".join([GOOD] * 16))).id == ID
    assert timed(f"v0=ignored,t={NOW},v2=!,v1={RIGHT}").timestamp == NOW


@pytest.mark.parametrize(
    "timestamp",
    ["", f"{NOW}.9", f" {NOW}", f"+{NOW}", f"0{NOW}", f"{NOW}e0", "16_14265330", "nan", "٣", "-1", "9" * 13],
)
def test_timestamps_that_are_none(timestamp: str) -> None:
    key = HmacKey(base64.b64decode(WHSEC[6:]))
    signed = base64.b64encode(key.sign(f"{ID}.{timestamp}.".encode(), BODY)).decode()
    with pytest.raises(InvalidSignature):
        verified(standard(f"v1,{signed}", timestamp=timestamp))
    digits = HmacKey(b"whsec_test_secret").sign(f"{timestamp}.".encode(), EVENT).hex()
    with pytest.raises(InvalidSignature):
        timed(f"t={timestamp},v1={digits}")


@pytest.mark.parametrize("id", ["", "a.b", "a b", "é", "a" * 129, "a\n"])
def test_ids_that_are_none(id: str) -> None:
    signed = base64.b64encode(HmacKey(base64.b64decode(WHSEC[6:])).sign(f"{id}.{NOW}.".encode(), BODY)).decode()
    with pytest.raises(InvalidSignature):
        verified(standard(f"v1,{signed}", id=id))
    with pytest.raises(ConfigurationError, match="id"):
        sign(STANDARD, [Secret(WHSEC)], BODY, id=id, now=NOW)


@pytest.mark.parametrize("lost", range(3))
@pytest.mark.parametrize("times", [0, 2])
def test_a_header_that_is_missing_or_stands_twice(lost: int, times: int) -> None:
    headers = standard(GOOD)
    headers[lost : lost + 1] = [headers[lost]] * times
    with pytest.raises(InvalidSignature, match="missing" if times == 0 else "2 times"):
        verified(headers)


@pytest.mark.parametrize(
    "header",
    [
        "",
        f"t={NOW}",
        f"v1={RIGHT}",
        f"t=1,t={NOW},v1={RIGHT}",
        f"t={NOW},t={NOW},v1={RIGHT}",
        f"t={NOW}.0,v1={RIGHT}",
        f"t={NOW},v0={RIGHT}",
        f"t={NOW},v1=é",
        f"t={NOW},v1={RIGHT[:-1]}",
        f"t={NOW},v1={RIGHT} ",
        f"t={NOW}, v1={RIGHT}",
        f"t={NOW},v1={RIGHT},",
        f"t={NOW + 1},v1={RIGHT}",
        f"t={NOW}" + f",v1={RIGHT}" * 17,
    ],
)
def test_headers_with_a_time_that_are_none(header: str) -> None:
    with pytest.raises(InvalidSignature):
        timed(header)


@pytest.mark.parametrize(
    "value", ["", "sha256=", "sha1=" + "a" * 64, "a" * 64, "sha256=" + "a" * 63, "sha256=" + "a" * 65, "sha256=é"]
)
def test_hex_that_is_none(value: str) -> None:
    with pytest.raises(InvalidSignature):
        verify(HEX, [Secret("a" * 16)], [("X-Anthyx-Signature", value)], BODY, now=NOW)


def test_a_body_that_was_changed() -> None:
    for changed in (BODY + b"\n", BODY.replace(b" ", b""), BODY.replace(b"\n", b"\r\n") + b" ", b""):
        with pytest.raises(InvalidSignature, match="no signature matches"):
            verified(standard(GOOD), body=changed)


def test_headers_come_as_mappings_and_pairs_of_text_or_octets() -> None:
    headers = standard(GOOD)
    assert verified([(name.encode(), value.encode()) for name, value in headers]).id == ID
    assert verified([(name.upper(), value) for name, value in headers]).id == ID
    assert verify(STANDARD, [Secret(WHSEC)], dict(headers), BODY, now=NOW).id == ID
    with pytest.raises(InvalidSignature, match="no octet"):
        verified(standard("v1,☃"))


def test_a_secret_is_hidden() -> None:
    secret = Secret(WHSEC)
    assert WHSEC not in repr([secret, STANDARD.keys([secret])])
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(secret)


@pytest.mark.parametrize(
    ("scheme", "value"),
    [
        (STANDARD, "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
        (STANDARD, "whsec_"),
        (STANDARD, "whsec_AA=="),
        (STANDARD, "whsec_" + "A" * 31),
        (STANDARD, "whsec_" + base64.b64encode(b"a" * 65).decode()),
        (STANDARD, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS-"),
        (STANDARD, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n"),
        (STANDARD, "whsec_MfKQ9r8GKYqrTwjUPD8I LPZIo2LaLaSw"),
        (STANDARD, "whsk_" + "A" * 32),
        (STANDARD, b"a" * 23),
        (STRIPE, "short"),
        (HEX, b"a" * 15),
    ],
)
def test_secrets_that_are_none_are_refused_and_not_repeated(scheme: Scheme, value: str | bytes) -> None:
    with pytest.raises(ConfigurationError) as caught:
        sign(scheme, [Secret(value)], BODY, id=ID, now=NOW)
    shown = value if isinstance(value, str) else value.decode()
    assert len(shown) <= 6 or shown not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("value", ["", b"", None, 1])
def test_a_secret_is_text_or_octets(value: Any) -> None:
    with pytest.raises(ConfigurationError, match="secret"):
        Secret(value)


def test_wrong_use_is_refused_by_name() -> None:
    secrets = [Secret(WHSEC)]
    for wrong in ([], secrets * 17, [WHSEC]):
        with pytest.raises(ConfigurationError, match="secrets"):
            verify(STANDARD, wrong, standard(GOOD), BODY, now=NOW)  # type: ignore[arg-type]
    for now in (1.5, True, -1, "1"):
        with pytest.raises(ConfigurationError, match="now"):
            sign(STANDARD, secrets, BODY, id=ID, now=now)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="octets"):
        sign(STANDARD, secrets, "text", id=ID, now=NOW)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="octets"):
        verify(STANDARD, secrets, standard(GOOD), {"a": 1}, now=NOW)  # type: ignore[arg-type]
    for name in ("X_Signature", "", "X:Y"):
        with pytest.raises(ConfigurationError, match="header"):
            Scheme.hex_body(name)
    with pytest.raises(ConfigurationError, match="tolerance"):
        Scheme.standard(tolerance=-1)
    assert issubclass(InvalidSignature, KeystileError)


def test_standardwebhooks_verifies_what_we_sign_and_we_what_it_signs() -> None:
    other, now = standardwebhooks.Webhook(WHSEC), int(time.time())
    other.verify(BODY, dict(sign(STANDARD, [Secret(OTHER), Secret(WHSEC)], BODY, id=ID, now=now)))
    signature = other.sign(ID, datetime.fromtimestamp(now, UTC), BODY.decode())
    assert verified(standard(signature, timestamp=str(now)), now=now).timestamp == now


def test_stripe_verifies_what_we_sign_and_we_what_it_signs() -> None:
    now = int(time.time())
    line = sign(STRIPE, [Secret("whsec_old_secret"), Secret("whsec_test_secret")], STRIPES_OWN, now=now)[0][1]
    assert stripe.WebhookSignature.verify_header(STRIPES_OWN.decode(), line, "whsec_test_secret", 300)
    theirs = stripe.WebhookSignature.generate_signature_header(EVENT.decode(), "whsec_test_secret", now)
    assert timed(theirs, now=now).timestamp == now


LETTERS = string.ascii_letters + string.digits + "_-"
SECRETS = st.lists(st.binary(min_size=24, max_size=64), min_size=1, max_size=4, unique=True)
MOMENTS = st.integers(0, 10**12 - 1)


@given(
    st.sampled_from(sorted(SCHEMES)),
    SECRETS,
    st.binary(max_size=200),
    MOMENTS,
    st.text(LETTERS, min_size=1, max_size=128),
)
def test_what_is_signed_verifies_and_nothing_else_does(
    name: str, octets: list[bytes], body: bytes, now: int, id: str
) -> None:
    scheme = SCHEMES[name]
    secrets = [Secret(each) for each in (octets[:1] if name == "hex_body" else octets)]
    headers = sign(scheme, secrets, body, id=id, now=now)
    for place, secret in enumerate(secrets):
        received = verify(scheme, [secret], headers, body, now=now)
        assert received == Received(id if name == "standard" else None, None if name == "hex_body" else now, 0), (
            f"secret {place}"
        )
    for wrong in (body + b"\0", body[:-1] if body else b"x", bytes(reversed(body)) + b"."):
        if wrong != body:
            with pytest.raises(InvalidSignature):
                verify(scheme, secrets, headers, wrong, now=now)
    with pytest.raises(InvalidSignature):
        verify(scheme, [Secret(b"another secret of 24 byte")], headers, body, now=now)


@given(st.sampled_from(sorted(SCHEMES)), st.lists(st.binary(max_size=60), max_size=3), st.binary(max_size=20))
def test_whatever_stands_in_the_headers_there_is_one_exception(name: str, values: list[bytes], body: bytes) -> None:
    scheme = SCHEMES[name]
    names = ["webhook-id", "webhook-timestamp", "webhook-signature"] if name == "standard" else list(scheme.headers)
    headers = list(zip(names * 3, values, strict=False))
    with pytest.raises(InvalidSignature):
        verify(scheme, [Secret(b"a" * 32)], headers, body, now=NOW)


@given(st.text(LETTERS, min_size=1, max_size=20), MOMENTS, st.text(LETTERS, min_size=1, max_size=20), MOMENTS)
def test_two_messages_never_have_the_same_signed_octets(id: str, now: int, other: str, later: int) -> None:
    one = STANDARD.read({name.encode(): [value.encode()] for name, value in standard(GOOD, id=id, timestamp=str(now))})
    two = STANDARD.read(
        {name.encode(): [value.encode()] for name, value in standard(GOOD, id=other, timestamp=str(later))}
    )
    assert (one.before == two.before) == ((id, now) == (other, later))
    assert one.before == two.before or not one.before.startswith(two.before)


def test_every_secret_and_every_signature_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    """A signature that matches early leaves nothing out: the time would tell which one it was."""
    compared: list[bytes] = []

    def compare(one: Any, other: Any) -> bool:
        compared.append(other)
        return bool(one == other)

    monkeypatch.setattr(hmac, "compare_digest", compare)
    headers = standard(f"{GOOD} v1,{base64.b64encode(hashlib.sha256().digest()).decode()}")
    assert verified(headers, WHSEC, OTHER).secret_index == 0
    assert len(compared) == 4
