"""Names that people with bad intentions, or with good ones and another alphabet, give to their projects.

The law: every text here may be the name of a job, an account, a crawler, a token or the text of an error. Those that
would run call `hurt`, which the browser's tests define before the page loads, so that nothing runs unseen.
"""

from __future__ import annotations

from typing import Final

RUNS: Final = (
    "<script>hurt('script')</script>",
    "<img src=x onerror=\"hurt('image')\">",
    "\"><svg onload=hurt('svg')>",
    "' onmouseover='hurt(\"attribute\")' autofocus onfocus='hurt(\"focus\")' x='",
    "javascript:hurt('link')",
    "</textarea></title></style></script><script>hurt('closed')</script>",
    "{{constructor.constructor('hurt()')()}} {% raw %} ${hurt('template')} #{hurt()}",
    "<iframe srcdoc='<script>parent.hurt()</script>'></iframe>",
    "<style>*{display:none}</style><base href=//evil.example>",
    "<form action=//evil.example><button id=main name=cookie>",
    "<!-- --!> ]]> <?php &lt;b&gt; &amp;amp; &#60;script&#62;",
)
"""Markup, breaking out of attributes and elements, templates, links."""

READS: Final = (
    "invoice\u202egnp.exe",
    "\u2066\u2067\u2068open isolates and \u202dno end",
    "مجموعة المشاريع الكبرى / الفرع",
    "שלום עולם (abc) 123",
    "in\u200bvis\u2060ible\ufeff\u00ad\u200e\u200f",
    "controls \u0085\u009b31m\u0090 end",
    "line\u2028separator\u2029paragraph",
    "👩‍👩‍👧‍👦🏳️‍🌈🇩🇪 crawl",
    "Z" + "\u0351\u036b\u0343\u036a\u0302\u036b\u033d\u034f\u0334\u0319" * 12 + "algo",
    "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft" * 3,
    "W" * 250,
    "\uffff\ufdd0 noncharacters",
    "大規模なクローラーのための非常に長い名前のプロジェクト" * 3,
    "__proto__",
    "constructor",
    "undefined",
    "-1",
    "1e999",
    "../../etc/passwd",
    "%3Cscript%3E?a=b&c=d#e",
    "=cmd|'/C calc'!A0",
    "\u00a0\u3000\u2003",
)
"""Directions, invisible and control characters, long words, and words that mean something to a program."""

NAMES: Final = RUNS + READS
