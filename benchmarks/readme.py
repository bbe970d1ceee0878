"""Write the README's table of speed from measured results.

    python -m benchmarks --json runs/bench.json
    python -m benchmarks.readme runs/bench.json README.md

replaces what stands between `<!-- speed -->` and `<!-- /speed -->`. Several files of results, of
one machine, may be given before the README: a benchmark that is in two is taken from the last.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

BEGIN, END = "<!-- speed -->", "<!-- /speed -->"


def table(record: dict[str, Any]) -> str:
    """The results as Markdown: one row a rival, ours named with its rate.

    Args:
        record: what `python -m benchmarks --json` wrote.
    """
    load = max(row.get("load", 0.0) for row in record["rows"])
    lines = [
        f"Measured with {record['threads']} thread(s) on {record['cores']} cores "
        f"({record['machine']}, Python {record['python']}, torch {record['torch']}), rivals in "
        f"turn, with a load average up to {load:.0f}. What lasts are ratios: × is a rival's time "
        "for the same work over ours, in seconds and, in brackets, in processor time. Memory is "
        "what a call takes beyond what was there, without that of processes it starts.",
        "",
        "| task | ours | rival | × (processor) | MiB, ours and rival's |",
        "|---|---|---|---|---|",
    ]
    ours: dict[str, dict[str, Any]] = {}
    others: list[str] = []
    for row in record["rows"]:
        if "rival" not in row:
            others.append(_sentence(row))
            continue
        first = ours.setdefault(row["task"], row)
        if first is row and _has_rivals(record, row["task"]):
            continue
        rival = "" if first is row else row["rival"]
        ratio = "" if first is row else f"{row['times_ours']:.2f} ({row['cpu_times_ours']:.2f})"
        memory = _memory(first) if first is row else f"{_memory(first)}, {_memory(row)}"
        lines.append(
            f"| {row['task']} | {first['rival']}{_rate(first)} | {rival} | {ratio} | {memory} |"
        )
    return "\n".join([*lines, *([""] if others else []), *others])


def write(record: dict[str, Any], readme: Path) -> None:
    """Put the table into a README that has the two marks.

    Raises:
        ValueError: when it has not.
    """
    text = readme.read_text(encoding="utf-8")
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise ValueError(f"{readme} needs one {BEGIN} and one {END} after it")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    readme.write_text(f"{before}{BEGIN}\n{table(record)}\n{END}{after}", encoding="utf-8")


def joined(records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Several runs as one: each benchmark from the last that has it.

    Raises:
        ValueError: when they were not measured alike.
    """
    facts = [
        {k: v for k, v in record.items() if k not in ("rows", "seconds")} for record in records
    ]
    if any(other != facts[0] for other in facts):
        raise ValueError(f"these were not measured alike: {facts}")
    rows: dict[str, list[dict[str, Any]]] = {}
    for record in records:
        names = dict.fromkeys(row["benchmark"] for row in record["rows"])
        rows |= {name: [r for r in record["rows"] if r["benchmark"] == name] for name in names}
    return {**facts[0], "rows": [row for found in rows.values() for row in found]}


def _rate(row: dict[str, Any]) -> str:
    """What one processor does in a second: on a busy machine seconds themselves say little."""
    if "per_cpu_second" not in row:
        return ""
    return f", {row['per_cpu_second']:,.0f} {row['item']} a processor second"


def _memory(row: dict[str, Any]) -> str:
    return "–" if row.get("peak_mib") is None else f"{row['peak_mib']:,.0f}"


def _has_rivals(record: dict[str, Any], task: str) -> bool:
    return sum(row["task"] == task for row in record["rows"]) > 1


def _sentence(row: dict[str, Any]) -> str:
    if "exponent" in row:
        return f"- {row['task']}: time ∝ size^{row['exponent']:.2f} up to {row['sizes'][-1]:,}"
    if "skipped" in row:
        return f"- {row['task']}, {row['vectors']:,}: {row['skipped']}"
    if "vectors" in row:
        return (
            f"- {row['task']}, {row['vectors']:,}: built in {row['building_s']:,.0f} s, "
            f"{row['peak_mib']:,.0f} MiB at most, {row['index_mb']:,.0f} MB on disk; a query "
            f"{row['approximate_ms_a_query']:.2g} ms ({row['found_of_the_closest_ten']:.1f} of the "
            f"closest ten found), exact {row['exact_ms_a_query']:.2g} ms"
        )
    return (
        f"- {row['task']}, {row['spectra']:,} spectra: {row['embedding_s']:,.0f} s embedding and "
        f"{row['indexing_s']:,.0f} s indexing (processor {row['embedding_cpu_s']:,.0f} s and "
        f"{row['indexing_cpu_s']:,.0f} s), {row['peak_mib']:,.0f} MiB at most, "
        f"{row['bytes_a_spectrum']:.0f} bytes a spectrum on disk"
    )


if __name__ == "__main__":
    *results, page = map(Path, sys.argv[1:])
    write(joined([json.loads(file.read_text(encoding="utf-8")) for file in results]), page)
