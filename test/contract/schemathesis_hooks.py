"""Formats of the contract (openapi.json) that Schemathesis does not know."""

import json

import schemathesis
from hypothesis import strategies as st

text = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
scalars = st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | text
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3))
objects = st.dictionaries(text.filter(lambda name: name not in ("__proto__", "constructor")), values, max_size=3)

schemathesis.openapi.format("entity-tag", st.from_regex('"[!#-~]{0,40}"', fullmatch=True))
schemathesis.openapi.format("json-object", objects.map(json.dumps))
