"""The report's JSON: what comes back, and the schema it follows."""

import json
import math

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from megdump_ci import report
from tests.unit import reports


@given(st.floats())
def test_a_number_survives_json(value: float) -> None:
    again = float(json.loads(json.dumps(report.number(value), allow_nan=False)))
    assert again == value or (math.isnan(again) and math.isnan(value))


@given(st.floats(), st.text())
def test_a_report_survives_json_and_follows_its_schema(error: float, name: str) -> None:
    # Lone surrogates cannot be written as UTF-8, and no name in a file decodes to one.
    name = name.encode("utf-8", "replace").decode()
    case = reports.case(0, name=name)
    made = reports.report(max_error=report.number(error), testcases=[case])
    written = report.to_json(made)
    assert report.from_json(written) == made
    jsonschema.validate(json.loads(written), report.json_schema())


@pytest.mark.parametrize("change", [{"verdict": "maybe"}, {"exit_status": "0"}, {"model": {}}])
def test_the_schema_refuses_what_is_no_report(change: dict[str, object]) -> None:
    wrong = json.loads(report.to_json(reports.report())) | change
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, report.json_schema())
