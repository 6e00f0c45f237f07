"""Cuts a psql script into statements as psql does: quotes, dollar quotes, nested comments, parentheses, BEGIN ATOMIC. Backslash
commands end or send the statement; \\set and its variables are carried out where they are plain text."""

import re

DOLLAR_QUOTE = re.compile(r"\$([A-Za-z_\x80-\U0010ffff]\w*)?\$")
WORD = re.compile(r"[A-Za-z_\x80-\U0010ffff][\w$\x80-\U0010ffff]*")
VARIABLE = re.compile(r":(?:(\w+)|'(\w+)'|\"(\w+)\"|\{\?(\w+)\})")
STRINGS_SETTING = re.compile(r"standard_conforming_strings\s*(?:=|to)\s*(\w+)", re.I)
COPY_FROM_STDIN = re.compile(r"copy\b.*\bfrom\s+stdin\b", re.I | re.S)


class Script:
    def __init__(self, variables):
        self.variables = dict(variables)
        self.standard_strings = True
        self._begin()

    def _begin(self):
        self.buffer, self.depth, self.blocks, self.words, self.unknown_variable = [], 0, 0, [], False

    def _end(self):
        """The statement so far; None if it is empty or names a variable nobody has set."""
        text = "".join(self.buffer).strip()
        usable = text and not self.unknown_variable
        self._begin()
        return text if usable else None

    def statements(self, text):
        """(kind, argument, statement): `sql`; `gset` with its command; `connect`; `data` with the lines for a COPY."""
        at = 0
        while at < len(text):
            skipped = self._comment(text, at)
            if skipped is not None:
                at = skipped
                continue
            quoted = self._quoted(text, at)
            if quoted is not None:
                self.buffer.append(text[at:quoted])
                at = quoted
                continue
            char = text[at]
            if char == "\\":
                at, found = self._command(text, at)
                if found:
                    yield found
                continue
            if text.startswith("::", at):
                self.buffer.append("::")
                at += 2
                continue
            if char == ":":
                after = self._variable(text, at)
                if after is not None:
                    at = after
                    continue
            if char == "(":
                self.depth += 1
            elif char == ")":
                self.depth = max(0, self.depth - 1)
            elif char == ";" and self.depth == 0 and self.blocks == 0:
                statement = self._end()
                at += 1
                if statement:
                    yield ("sql", None, statement)
                    self._remember_setting(statement)
                    if COPY_FROM_STDIN.match(statement):
                        at, data = copy_data(text, at)
                        if data is not None:
                            yield ("data", data, None)
                continue
            word = WORD.match(text, at)
            if word:
                self._word(word.group(0).lower())
                self.buffer.append(word.group(0))
                at = word.end()
                continue
            self.buffer.append(char)
            at += 1
        statement = self._end()
        if statement:
            yield ("sql", None, statement)

    def _comment(self, text, at):
        if text.startswith("--", at):
            end = text.find("\n", at)
            end = len(text) if end < 0 else end
        elif text.startswith("/*", at):
            end, depth = at, 0
            while end < len(text):
                if text.startswith("/*", end):
                    depth, end = depth + 1, end + 2
                elif text.startswith("*/", end):
                    depth, end = depth - 1, end + 2
                    if depth == 0:
                        break
                else:
                    end += 1
        else:
            return None
        if "".join(self.buffer).strip():
            self.buffer.append(text[at:end])
        return end

    def _quoted(self, text, at):
        char = text[at]
        escaped = char in "eE" and text[at + 1 : at + 2] == "'" and not (at and re.match(r"[\w$]", text[at - 1]))
        if char == "'" or escaped:
            backslash = escaped or not self.standard_strings
            end = at + (2 if escaped else 1)
            while end < len(text):
                if backslash and text[end] == "\\":
                    end += 2
                elif text.startswith("''", end):
                    end += 2
                elif text[end] == "'":
                    break
                else:
                    end += 1
            return end + 1
        if char == '"':
            end = text.find('"', at + 1)
            while end >= 0 and text[end + 1 : end + 2] == '"':
                end = text.find('"', end + 2)
            return len(text) if end < 0 else end + 1
        if char == "$" and (opening := DOLLAR_QUOTE.match(text, at)):
            end = text.find(opening.group(0), opening.end())
            return len(text) if end < 0 else end + len(opening.group(0))
        return None

    def _command(self, text, at):
        if text.startswith("\\;", at):
            self.buffer.append(";")
            return at + 2, None
        end = text.find("\n", at)
        end = len(text) if end < 0 else end
        line = text[at:end]
        empty = not "".join(self.buffer).strip()
        name = (line.split() or ["\\"])[0]
        setting = re.match(r"\\set\s+(\w+)\s+(.*)", line)
        if setting and empty:
            value = ""
            for quoted, plain in re.findall(r"'((?:[^']|'')*)'|(\S+)", setting.group(2).strip()):
                value += self.variables.get(plain.strip(":'\""), "") if plain.startswith(":") else (quoted or plain).replace("''", "'")
            self.variables[setting.group(1)] = value
        elif name.startswith(("\\g", "\\crosstabview", "\\watch")):
            statement = self._end()
            return end, ("gset", line, statement) if statement else None
        elif name in ("\\r", "\\reset"):
            self._end()
        elif name in ("\\c", "\\connect") and empty:
            return end, ("connect", line, None)
        return end, None

    def _variable(self, text, at):
        found = VARIABLE.match(text, at)
        if not found:
            return None
        name = found.group(1) or found.group(2) or found.group(3)
        if name in self.variables:
            value = self.variables[name]
            if found.group(2):
                value = "'" + value.replace("'", "''") + "'"
            elif found.group(3):
                value = '"' + value + '"'
            self.buffer.append(value)
            return found.end()
        if (found.group(2) or found.group(3)) and not "".join(self.buffer).rstrip().endswith("["):
            self.unknown_variable = True
        return None

    def _word(self, word):
        self.words.append(word)
        routine = self.words[0] == "create" and (self.words[1:2] in (["function"], ["procedure"]) or self.words[1:3] == ["or", "replace"])
        if self.depth == 0 and routine:
            if word == "begin" or (word == "case" and self.blocks):
                self.blocks += 1
            elif word == "end" and self.blocks:
                self.blocks -= 1

    def _remember_setting(self, statement):
        setting = STRINGS_SETTING.search(statement)
        if setting:
            self.standard_strings = setting.group(1).lower() in ("on", "true", "1")
        if re.match(r"reset\s+(all|standard_conforming_strings)", statement, re.I):
            self.standard_strings = True


def copy_data(text, at):
    begin = text.find("\n", at)
    end = text.find("\n\\.", begin)
    if end < 0:
        return at, None
    after = text.find("\n", end + 1)
    return (len(text) if after < 0 else after), text[begin + 1 : end + 1]
