"""Formats of the contract (openapi.json) that Schemathesis does not know."""

import schemathesis
from hypothesis import strategies as st

schemathesis.openapi.format("entity-tag", st.from_regex('"[!#-~]{0,40}"', fullmatch=True))
