#!/usr/bin/env python3
"""Writes kubectl.txt, the commands of kubectl with their options, from the help of the kubectl on the PATH:

    python3 kubectl.py > kubectl.txt

What a command does is decided here, by reading; what it takes is read from its help, in the notation of az.txt, with `?`
after options whose value may only follow an equals sign. The first line holds the options every command takes.
"""

import re
import subprocess

CLASSES = {
    "read": "get describe logs explain top/node top/pod api-resources api-versions version cluster-info cluster-info/dump "
    "auth/can-i auth/whoami config/current-context config/get-clusters config/get-contexts config/get-users config/view "
    "rollout/history rollout/status events plugin/list completion help options diff wait apply/view-last-applied",
    "secret": "create/token",
    "write": "create create/clusterrole create/clusterrolebinding create/configmap create/cronjob create/deployment "
    "create/ingress create/job create/namespace create/poddisruptionbudget create/priorityclass create/quota create/role "
    "create/rolebinding create/secret create/secret/docker-registry create/secret/generic create/secret/tls "
    "create/service create/service/clusterip create/service/externalname create/service/loadbalancer "
    "create/service/nodeport create/serviceaccount expose run set/env set/image set/resources set/selector "
    "set/serviceaccount set/subject edit rollout/pause rollout/restart rollout/resume rollout/undo scale autoscale "
    "certificate/approve certificate/deny cordon uncordon taint attach exec port-forward proxy cp auth/reconcile debug "
    "apply apply/edit-last-applied apply/set-last-applied patch replace label annotate config/rename-context config/set "
    "config/set-cluster config/set-context config/set-credentials config/use-context",
    "destructive": "delete drain config/delete-cluster config/delete-context config/delete-user config/unset",
    "unknown": "kustomize alpha",
}
# Other words for them, in any place.
ALIASES = {
    "create": {"configmap": "cm", "deployment": "deploy", "ingress": "ing", "namespace": "ns", "quota": "resourcequota",
               "poddisruptionbudget": "pdb", "priorityclass": "pc", "service": "svc", "serviceaccount": "sa",
               "cronjob": "cj"},
    "top": {"node": "nodes no", "pod": "pods po"},
    "config": {"use-context": "use"},
    "set": {"serviceaccount": "sa"},
}
BARE = {"dry-run", "cascade", "validate"}


def options(*command):
    text = subprocess.run(["kubectl", *command], capture_output=True, text=True, check=False).stdout
    found = []
    for line in text.splitlines():
        match = re.match(r"^    (?:-(\w), )?--([\w-]+)=(.*):$", line)
        if match:
            short, name, default = match.groups()
            kind = "!" if default in ("true", "false") else "?" if name in BARE else ""
            found.append(name + ("," + short if short else "") + kind)
    return " ".join(sorted(found))


def main():
    version = subprocess.run(["kubectl", "version", "--client"], capture_output=True, text=True, check=True).stdout
    print(f"# The commands of kubectl {version.split()[2]}, made by kubectl.py.")
    print("global kubectl: " + options("options"))
    for effect, commands in CLASSES.items():
        for command in commands.split():
            words = command.split("/")
            known = "" if words[0] in ("help", "options", "alpha") else options(*words, "--help")
            other = ALIASES.get(words[0], {}).get(words[1], "").split() if len(words) > 1 else []
            for name in [words[1], *other] if len(words) > 1 else [""]:
                path = " ".join([words[0], *([name] if name else []), *words[2:]])
                print(f"{effect} {path}: {known}".rstrip())


if __name__ == "__main__":
    main()
