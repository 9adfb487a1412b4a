"""Decides how a REST name is spelled in the graph."""

import re

ROW = "Read"


def camel(name: str) -> str:
    """`list_goals` -> `listGoals`; a header's dashes count as underscores."""
    first, *rest = re.split(r"[_\-]+", name)
    return first[:1].lower() + first[1:] + "".join(part[:1].upper() + part[1:] for part in rest)


def pascal(name: str) -> str:
    spelled = camel(name)
    return spelled[:1].upper() + spelled[1:]


def camel_path(path: str) -> str:
    """The field of a problem as the graph spells it: `flight.start_day` -> `flight.startDay`."""
    return ".".join(camel(part) for part in path.split("."))


def type_name(component: str) -> str:
    """`CampaignRead` -> `Campaign`."""
    return component.removesuffix(ROW) or component


def input_name(component: str) -> str:
    return component if component.endswith("Input") else f"{component}Input"


def enum_name(value: str) -> str:
    """`email.ctr` -> `EMAIL_CTR`, `-created_at` -> `CREATED_AT_DESC`: upwards is what a sort does by itself."""
    if value.startswith("-"):
        return f"{enum_name(value[1:])}_DESC"
    spelled = re.sub(r"\W", "_", value, flags=re.ASCII).upper()
    return f"_{spelled}" if not spelled or spelled[0].isdigit() else spelled
