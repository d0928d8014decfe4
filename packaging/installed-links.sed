# installed-links.sed: what `make install` does to the pages: what stays in the source is named there, not linked to.
s,\[\(\(examples\|src\|packaging\|docs/man\)[^]]*\)\](\1),`\1`,g
s,\[\([^]]*\)\](man/outbox\.3),\1 (outbox(3)),g
s,\[\([^]]*\)\](\(\.\./\)\{0\,1\}\(\(examples\|src\|packaging\|docs/man\)[^)]*\)),\1 (`\3`),g
