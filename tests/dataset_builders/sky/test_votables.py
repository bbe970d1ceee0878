"""VOTables in the forms that services send."""

import base64
import struct

import pytest
from building import tap_client
from faulty import Response

from specclip_datasets.sky.services.http_session import RejectedError, ServiceError

OK = '<INFO name="QUERY_STATUS" value="OK"/>'
FIELDS = '<FIELD name="id" datatype="char" arraysize="*"/><FIELD name="n" datatype="int"/>'
ROWS = "<TR><TD>NAME X</TD><TD>1</TD></TR><TR><TD>[B09] 12 ü</TD><TD/></TR>"
TABLE = f"<TABLE>{FIELDS}<DATA><TABLEDATA>{ROWS}</TABLEDATA></DATA></TABLE>"


def votable(body, version="1.4"):
    return (
        f'<?xml version="1.0"?><VOTABLE version="{version}" '
        f'xmlns="http://www.ivoa.net/xml/VOTable/v1.3"><RESOURCE type="results">{body}</RESOURCE>'
        "</VOTABLE>"
    ).encode()


def binary2():
    """Return masked rows, as in astropy's binary2_masked_strings.xml."""
    rows = b""
    for mask, text, number in ((0, "NAME X\0\0", 1), (0x40, "[B09] 12 ü", 0)):
        coded = text.encode("utf-16-be")
        rows += struct.pack(">BI", mask, len(coded) // 2) + coded + struct.pack(">i", number)
    fields = FIELDS.replace('"char"', '"unicodeChar"')
    stream = base64.b64encode(rows).decode()
    data = f'<DATA><BINARY2><STREAM encoding="base64">{stream}</STREAM></BINARY2></DATA>'
    return votable(f"{OK}<TABLE>{fields}{data}</TABLE>")


@pytest.fixture
def client(server, retry_policy):
    return tap_client(server, retry_policy)


def error(words, value="ERROR"):
    return f'<INFO name="QUERY_STATUS" value="{value}">{words}</INFO>'


@pytest.mark.parametrize(
    ("content", "overflow"),
    [
        (votable(OK + TABLE), False),
        (votable(OK + TABLE, "1.2"), False),
        (binary2(), False),
        # As pyvo's overflowstatus.xml.
        (votable(OK + TABLE + '<INFO name="QUERY_STATUS" value="OVERFLOW"/>'), True),
    ],
)
@pytest.mark.parametrize("kind", ["application/x-votable+xml", "text/html;charset=utf-8", ""])
def test_votable_serialisations_and_content_types(server, client, content, overflow, kind):
    server.respond = lambda request: Response(content, kind)
    answer = client.query("SELECT 1", "x")
    assert [row["id"] for row in answer.rows] == ["NAME X", "[B09] 12 ü"]
    assert [row["n"] for row in answer.rows] == [1, None]
    assert answer.overflow == overflow


@pytest.mark.parametrize(
    ("content", "status"),
    [
        # As VOTables.jl's tap_results_and_error.
        (votable(OK + TABLE + error("Maximum execution time reached")), 200),
        (votable(OK + TABLE + error("something went wrong")), 200),
        (votable(error("Unable to check the ADQL query!")), 400),
        (votable(error("No connection available for the moment.")), 503),
        (votable(error("Service in maintenance")), 200),
        (b"<html>please log in</html>", 200),
        (b"", 200),
        (votable(OK + TABLE)[:-30], 200),
    ],
)
def test_truncated_tables_and_outages_are_retried(server, client, content, status):
    server.respond = lambda request: Response(votable(OK + TABLE), "text/xml")
    server.plan = [Response(content, "text/xml", status)]
    assert len(client.query("SELECT 1", "x").rows) == 2
    server.plan = [Response(content, "text/xml", status)] * 9
    with pytest.raises(ServiceError) as caught:
        client.query("SELECT 1", "x")
    assert not isinstance(caught.value, RejectedError)


@pytest.mark.parametrize("status", [200, 400])
def test_invalid_query_is_not_retried(server, client, status):
    words = 'Incorrect ADQL query: Encountered "." Was expecting one of: EOF'
    server.respond = lambda request: Response(votable(error(words)), "text/xml", status)
    with pytest.raises(RejectedError, match=r"Incorrect ADQL query.*Query: SELECT 1"):
        client.query("SELECT 1", "x")
    assert len(server.requests) == 1
