"""What follows from the services' documents by itself."""

import copy
from typing import Any

import pytest
from graphql import GraphQLEnumType, GraphQLInputObjectType, GraphQLObjectType, GraphQLSchema

from deploy.contracts import contracts
from gateway.derive.contract import Contract, ContractError, load
from gateway.derive.graph import build
from gateway.derive.kinds import Asked
from gateway.derive.names import camel, camel_path, enum_name, type_name
from gateway.edges import EDGES, KEYS
from gateway.graphql import OPENAPI

DOCUMENTS = load(OPENAPI)


@pytest.fixture(scope="module")
def schema() -> GraphQLSchema:
    return build(DOCUMENTS, EDGES, KEYS)._schema


def fields(schema: GraphQLSchema, name: str) -> dict[str, str]:
    kind = schema.type_map[name]
    assert isinstance(kind, GraphQLObjectType | GraphQLInputObjectType)
    return {name: str(field.type) for name, field in kind.fields.items()}


def test_a_read_model_becomes_a_type(schema: GraphQLSchema) -> None:
    campaign = fields(schema, "Campaign")
    said = {
        "id": "ID!", "name": "String!", "flight": "Interval!", "channels": "[Channel!]!", "territories": "[String!]!",
        "state": "CampaignState!", "createdAt": "DateTime!", "goals": "GoalConnection",
    }  # fmt: skip
    assert said.items() <= campaign.items()
    assert (
        schema.type_map["Campaign"].description
        == DOCUMENTS["goals"]["components"]["schemas"]["CampaignRead"]["description"]
    )
    assert fields(schema, "Goal")["objectiveId"] == "ID"


def test_every_visible_operation_is_in_the_graph(schema: GraphQLSchema) -> None:
    query, mutation = fields(schema, "Query"), fields(schema, "Mutation")
    questions = {edge.operation for edge in EDGES if isinstance(edge, Asked)}
    for operation in Contract(DOCUMENTS).operations.values():
        if not operation.in_graph or operation.id in questions:
            assert camel(operation.id) not in mutation
        elif operation.method != "GET":
            assert mutation[camel(operation.id)].endswith("Payload")
        elif operation.is_list:
            assert query[camel(operation.id.removeprefix("list_"))].endswith("Connection")
        elif operation.items is None and not operation.hangs_on_a_row:
            assert camel(operation.id.removeprefix("get_")) in query


def test_what_hangs_on_a_row_has_an_edge() -> None:
    used = {edge.operation for edge in EDGES}
    batches = [
        operation
        for operation in Contract(DOCUMENTS).operations.values()
        if operation.in_graph and operation.method == "GET" and operation.items is not None and not operation.is_list
    ]
    assert [operation.id for operation in batches if operation.id not in used] == []


def test_enums_are_upper_case_in_both_directions(schema: GraphQLSchema) -> None:
    kind = schema.type_map["CampaignState"]
    assert isinstance(kind, GraphQLEnumType)
    assert kind.coerce_output_value("idea") == "IDEA"
    assert str(kind.coerce_input_value("IDEA")) == "idea"


def test_names_are_spelled_the_graphs_way() -> None:
    assert [camel(each) for each in ("list_goals", "Idempotency-Key", "from", "as_of")] == [
        "listGoals",
        "idempotencyKey",
        "from",
        "asOf",
    ]
    assert [enum_name(each) for each in ("month", "-created_at", "email.ctr", "7d", "a b-c")] == [
        "MONTH",
        "CREATED_AT_DESC",
        "EMAIL_CTR",
        "_7D",
        "A_B_C",
    ]
    assert camel_path("flight.first_day") == "flight.firstDay"
    assert type_name("CampaignRead") == "Campaign"


def changed(change: Any) -> dict[str, Any]:
    documents = copy.deepcopy(DOCUMENTS)
    change(documents)
    return documents


def other(documents: Any) -> Any:
    """A second service with a schema of the first's name and an operation that uses it."""
    documents["copy"] = copy.deepcopy(documents["goals"])
    get = documents["copy"]["paths"].pop("/v1/campaigns/{id}")["get"]
    get["operationId"] = "get_copy"
    documents["copy"]["paths"] = {"/v1/copies/{id}": {"get": get}}
    return documents["copy"]["components"]["schemas"]


def test_a_name_that_means_two_things_stops_the_build() -> None:
    build(changed(other), EDGES, KEYS)

    def differs(documents: Any) -> None:
        other(documents)["Interval"]["description"] = "Something else."

    with pytest.raises(ContractError, match=r"Interval means one thing in .* and another in copy"):
        build(changed(differs), EDGES, KEYS)


def test_one_name_for_two_operations_stops_the_build() -> None:
    def same(documents: Any) -> None:
        other(documents)
        documents["copy"]["paths"]["/v1/copies/{id}"]["get"]["operationId"] = "get_campaign"

    with pytest.raises(ContractError, match="get_campaign is an operation of both goals and copy"):
        build(changed(same), EDGES, KEYS)


def test_a_body_that_the_graph_cant_send_stops_the_build_unless_it_is_hidden() -> None:
    def upload(documents: Any) -> None:
        body = documents["goals"]["paths"]["/v1/campaigns"]["post"]["requestBody"]["content"]
        body["multipart/form-data"] = body.pop("application/json")

    def hidden(documents: Any) -> None:
        upload(documents)
        documents["goals"]["paths"]["/v1/campaigns"]["post"]["x-graph"] = False

    with pytest.raises(ContractError, match="create_campaign takes multipart/form-data"):
        build(changed(upload), EDGES, KEYS)
    assert "createCampaign" not in fields(build(changed(hidden), EDGES, KEYS)._schema, "Mutation")


def test_the_committed_schema_is_what_follows_from_the_code() -> None:
    stale = [str(path) for path, content in contracts().items() if path.read_text() != content]
    assert stale == [], "run `make contracts`"
