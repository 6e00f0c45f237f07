#!/usr/bin/env python3
"""How right `portcullis classify` is on statements whose truth is known.

    score.py LABELLED.jsonl PORTCULLIS [SHOWN]

LABELLED is what label.py wrote. SHOWN: how many rows to print of each kind of difference (default 3). Apart from the rates are
counted, as no text could tell: calls of functions and operators that are not built in, and reads of credentials (`secret`).
"""

import collections, json, re, subprocess, sys, time

NOT_BUILT_IN = re.compile(r"it calls \S+, which is no built-in|the operator \S+ is not built in|the operator \S+ of another")


def truth_of(labels):
    return next((truth for truth in ("effects", "statement", "reads") if truth in labels), "error")


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    statements = [json.loads(line) for line in open(sys.argv[1])]
    shown = int(sys.argv[3]) if len(sys.argv) > 3 else 3
    questions = "".join(json.dumps({key: statement[key] for key in ("id", "dialect", "sql")}) + "\n" for statement in statements)
    started = time.time()
    asked = subprocess.run([sys.argv[2], "classify"], input=questions.encode(), stdout=subprocess.PIPE)
    seconds = time.time() - started
    answers = {answer["id"]: answer for answer in map(json.loads, asked.stdout.decode().splitlines())}
    count, rows = collections.Counter(), collections.defaultdict(list)
    for statement in statements:
        answer, truth = answers[statement["id"]], truth_of(statement["labels"])
        judged, why = answer["class"], re.sub(r"`.*?`", "`…`", answer["why"])[:90]
        count[truth] += 1
        if judged == "unknown" and truth != "error":
            count["unknown"] += 1
            rows["valid, called unknown: " + why].append(statement)
        elif judged == "read" and truth == "effects":
            count["escapes"] += 1
            rows["effect, called read: " + str(statement["labels"]["effects"])[:40]].append(statement)
        elif truth == "reads" and judged == "secret":
            count["secret"] += 1
        elif truth == "reads" and judged != "read" and NOT_BUILT_IN.match(why):
            count["not built in"] += 1
        elif truth == "reads" and judged != "read":
            count["false alarms"] += 1
            rows[f"read, called {judged}: {why}"].append(statement)
    valid, reads = len(statements) - count["error"], count["reads"] - count["not built in"] - count["secret"]
    print(f"{len(statements)} statements, {valid} valid, {len(statements) / seconds:.0f} a second through a pipe")
    print(f"effects called read       {count['escapes']}  (read each below: EXPLAIN, and what stands behind a view, is no escape of the text)")
    print(f"plain reads not so called {count['false alarms']} of {reads} ({100 * count['false alarms'] / max(1, reads):.2f} %)")
    print(f"valid, called unknown     {count['unknown']} ({100 * count['unknown'] / max(1, valid):.2f} %)")
    print(f"apart: {count['not built in']} reads that call what is not built in, {count['secret']} that read credentials")
    for kind, found in sorted(rows.items(), key=lambda row: -len(row[1])):
        print(f"-- {len(found)} {kind}")
        for statement in found[:shown]:
            print("     ", statement["source"], "|", " ".join(statement["sql"].split())[:200])


if __name__ == "__main__":
    main()
