#!/usr/bin/env python3
"""Asks the same question with openmined-psi, with anonlink and with Wayhome, and prints time and bytes.

The question: which of these ASKED children are among those HELD records? For the first two the children
are strings, and two are equal or they are not; Wayhome's side is `wayhome bench peers`, which asks it of
a node over mutual TLS, signed and logged on both sides.

Usage: measure.py WAYHOME [--held N] [--asked N] [--runs N]; run.sh makes the environment first.
"""

import argparse
import json
import platform
import statistics
import subprocess
import time


def names(count, first=0):
    """Synthetic children: a name and a date each."""
    starts = ["Kova", "Mel", "Shev", "Bon", "Tka", "Sav", "Lys", "Hry", "Pav", "Mar"]
    ends = ["lenko", "nychuk", "chenko", "darets", "tsiuk"]
    given = ["Oleh", "Ivan", "Andrii", "Taras", "Petro", "Maksym"]
    for number in range(first, first + count):
        yield (
            f"{starts[number % 10]}{ends[number // 10 % 5]} {number}",
            given[number // 50 % 6],
            f"20{6 + number // 300 % 12:02}-{1 + number // 3600 % 12:02}-{1 + number % 28:02}",
        )


def timed(run, runs):
    """The median of several runs in milliseconds, with the last result."""
    times, result = [], None
    for _ in range(runs):
        began = time.perf_counter()
        result = run()
        times.append((time.perf_counter() - began) * 1000)
    return statistics.median(times), result


def psi(held, asked, runs):
    """Private set intersection (openmined-psi): set-up once, then the question."""
    import private_set_intersection.python as lib

    holder = ["|".join(child) for child in names(held)]
    half = asked // 2
    asker = ["|".join(child) for child in [*names(half), *names(asked - half, held)]]
    server = lib.server.CreateWithNewKey(True)
    client = lib.client.CreateWithNewKey(True)
    setup_ms, setup = timed(
        lambda: server.CreateSetupMessage(1e-9, asked, holder, lib.DataStructure.GCS), 1
    )

    def ask():
        request = client.CreateRequest(asker)
        response = server.ProcessRequest(request)
        found = client.GetIntersection(setup, response)
        return request, response, found

    ask_ms, (request, response, found) = timed(ask, runs)
    assert len(found) == half, f"{len(found)} found in place of {half}"
    return {
        "setup_ms": setup_ms,
        "setup_bytes": len(setup.SerializeToString()),
        "ask_ms": ask_ms,
        "ask_bytes": len(request.SerializeToString()) + len(response.SerializeToString()),
    }


def anonlink(held, asked, runs):
    """Bloom filters of names (clkhash) compared by a third party that sees both (anonlink)."""
    import io

    import anonlink as lib
    from clkhash import clk
    from clkhash.comparators import NgramComparison
    from clkhash.field_formats import FieldHashingProperties, StringSpec
    from clkhash.schema import Schema

    def field(name):
        how = FieldHashingProperties(
            comparator=NgramComparison(2), strategy=strategy(), hash_type="blakeHash"
        )
        return StringSpec(identifier=name, hashing_properties=how)

    def strategy():
        from clkhash.field_formats import BitsPerTokenStrategy

        return BitsPerTokenStrategy(20)

    schema = Schema([field("family"), field("given"), field("date")], 1024)

    def encode(children):
        text = io.StringIO("\n".join(",".join(child) for child in children) + "\n")
        return clk.generate_clk_from_csv(
            text, "a secret of both", schema, header=False, progress_bar=False
        )

    half = asked // 2
    setup_ms, theirs = timed(lambda: encode(names(held)), 1)

    def ask():
        ours = encode([*names(half), *names(asked - half, held)])
        candidates = lib.candidate_generation.find_candidate_pairs(
            [ours, theirs], lib.similarities.dice_coefficient_accelerated, 0.95
        )
        return lib.solving.greedy_solve(candidates)

    ask_ms, groups = timed(ask, max(1, runs // 3))
    return {
        "setup_ms": setup_ms,
        "setup_bytes": held * 128,
        "ask_ms": ask_ms,
        "ask_bytes": asked * 128,
        "found": len(groups),
    }


def ours(wayhome, held, asked, runs):
    """Wayhome's own figures for the same question."""
    command = [wayhome, "bench", "peers", "--json", "--count", str(asked), "--held", str(held)]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    figures = json.loads(said.splitlines()[-1])["figures"]
    return {figure["figure"]: figure["value"] for figure in figures}


def main():
    """Measures all three and prints one object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("wayhome")
    parser.add_argument("--held", type=int, default=100_000)
    parser.add_argument("--asked", type=int, default=1_000)
    parser.add_argument("--runs", type=int, default=9)
    given = parser.parse_args()
    by_psi = psi(given.held, given.asked, given.runs)
    by_anonlink = anonlink(given.held, given.asked, given.runs)
    by_us = ours(given.wayhome, given.held, given.asked, given.runs)
    figures = {
        "psi_ask_ms": by_psi["ask_ms"],
        "psi_bytes": by_psi["setup_bytes"] + by_psi["ask_bytes"],
        "psi_setup_ms": by_psi["setup_ms"],
        "psi_setup_bytes": by_psi["setup_bytes"],
        "anonlink_ask_ms": by_anonlink["ask_ms"],
        "anonlink_bytes": by_anonlink["setup_bytes"] + by_anonlink["ask_bytes"],
        "anonlink_setup_ms": by_anonlink["setup_ms"],
        **by_us,
    }
    figures["psi_ask_over_ours"] = figures["psi_ask_ms"] / figures["ours_ask_ms"]
    figures["psi_bytes_over_ours"] = figures["psi_bytes"] / figures["ours_bytes"]
    print(
        json.dumps(
            {
                "bench": "peers",
                "machine": platform.machine(),
                "held": given.held,
                "asked": given.asked,
                "figures": [{"figure": name, "value": value} for name, value in figures.items()],
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
