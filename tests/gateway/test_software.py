"""What the graph shows of software: a contract with what is wasted of it, in as many reads as there are edges."""

import httpx

from chassis.db import Database
from chassis.testing import statements
from tests.budget.software import made, seated, signed
from tests.gateway.conftest import Graph
from tests.parts import APPS

QUERY = """
query($vendor: [String!]) {
  vendors(name: $vendor) { nodes { contracts(first: 10) { nodes {
    name noticeDeadline vendor { name } line { name }
    waste(idleDays: 10) { idle unassigned wastedMonthly { amount currency } }
    seats(first: 5) { nodes { address department contract { id } } }
    decisions { nodes { kind wasted { amount } } }
  } } } }
  overlaps { nodes { category contracts(first: 5) { nodes { name } } } }
}"""


async def test_whoever_decides_about_a_renewal_sees_what_is_wasted(graph: Graph, budget: httpx.AsyncClient) -> None:
    first, second = await signed(budget), await signed(budget, "Other", name="Mailer")
    await seated(budget, first, "ann", "content")
    await made(budget, f"/v1/contracts/{first['id']}/renew", {"reason": "needed"})
    found = await graph(QUERY, vendor=["Acme"])
    assert found["vendors"]["nodes"][0]["contracts"]["nodes"] == [
        {
            "name": "Acme Mail", "noticeDeadline": "2026-10-01", "vendor": {"name": "Acme"}, "line": None,
            "waste": {"idle": 0, "unassigned": 3, "wastedMonthly": {"amount": "75.00", "currency": "EUR"}},
            "seats": {
                "nodes": [
                    {"address": "ann@example.com", "department": "content", "contract": {"id": first["id"]}},
                ]
            },
            "decisions": {"nodes": [{"kind": "RENEW", "wasted": {"amount": "75.00"}}]},
        }
    ]  # fmt: skip
    assert found["overlaps"]["nodes"] == [
        {"category": "email-delivery", "contracts": {"nodes": [{"name": "Acme Mail"}, {"name": "Mailer"}]}}
    ]
    assert second["state"] == "active"


async def test_waste_of_all_contracts_in_an_answer_is_one_read(graph: Graph, budget: httpx.AsyncClient) -> None:
    for number in range(4):
        await signed(budget, name=f"Tool {number}")
    database: Database = APPS["budget"].state.database
    with statements(database) as seen:
        found = await graph("{ contracts { nodes { waste { unassigned } } } }")
    assert [each["waste"]["unassigned"] for each in found["contracts"]["nodes"]] == 4 * [4]
    assert len([each for each in seen if "FROM seat" in each]) == 1
