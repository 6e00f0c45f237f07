"""Cuts a mysqltest script into its commands and the statements between them, as mysqltest does."""

import re

COMMANDS = set(
    """append_file assert cat_file change_user character_set chmod connect connection copy_file copy_files_wildcard dec delimiter
    diff_files die dirty_close disable_abort_on_error disable_column_names disable_connect_log disable_cursor_protocol disable_info
    disable_metadata disable_non_blocking_api disable_optimizer_trace disable_parsing disable_prepare_warnings disable_ps2_protocol
    disable_ps_protocol disable_query_log disable_reconnect disable_result_log disable_rpl_parse disable_service_connection
    disable_session_track_info disable_view_protocol disable_warnings disconnect echo enable_abort_on_error enable_column_names
    enable_connect_log enable_cursor_protocol enable_info enable_metadata enable_non_blocking_api enable_optimizer_trace
    enable_parsing enable_prepare_warnings enable_ps2_protocol enable_ps_protocol enable_query_log enable_reconnect enable_result_log
    enable_rpl_parse enable_service_connection enable_session_track_info enable_view_protocol enable_warnings end end_timer error
    eval evalp exec execw exit file_exists horizontal_results if inc let list_files list_files_append_file list_files_write_file
    lowercase_result mkdir move_file optimizer_trace perl ping query query_horizontal query_vertical real_sleep reap remove_file
    remove_files_wildcard replace_column replace_regex replace_result require reset_connection result rmdir save_master_pos send
    send_eval send_quit send_shutdown shutdown_server skip sleep sorted_result source start_timer sync_slave_with_master
    sync_with_master system vertical_results wait_for_slave_to_stop while write_file write_line""".split()
)
BLANK = re.compile(r"[ \t\r\n]*")
BLOCK = re.compile(r"(if|while)\s*\(", re.I)
HAS_BODY = ("perl", "write_file", "append_file")


def commands(text):
    """(is_sql, first word, text) for every command and statement; the bodies of IF and WHILE are read once."""
    at, delimiter, parsing = 0, ";", True
    while at < len(text):
        at = BLANK.match(text, at).end()
        if at >= len(text):
            return
        if text[at] == "#":
            at = end_of_line(text, at)
            continue
        if text[at] in "{}":
            at += 1
            continue
        block = BLOCK.match(text, at)
        if block:
            at = after_condition(text, block.end() - 1)
            continue
        if text.startswith("--", at):
            end = end_of_line(text, at)
            command, after, is_sql = text[at + 2 : end].strip(), end, False
        else:
            end = end_of_statement(text, at, delimiter)
            command, after, is_sql = text[at:end].strip(), end + len(delimiter), True
        word = re.match(r"\w*", command).group(0).lower()
        if word == "delimiter":
            delimiter = (command.split(None, 1) + [";"])[1].strip()
        elif word in HAS_BODY:
            after = after_body(text, command, after)
        elif word in ("disable_parsing", "enable_parsing"):
            parsing = word == "enable_parsing"
        elif parsing and command:
            yield (is_sql and word not in COMMANDS, word, command)
        at = after


def end_of_line(text, at):
    end = text.find("\n", at)
    return len(text) if end < 0 else end + 1


def end_of_statement(text, at, delimiter):
    quote = None
    while at < len(text):
        char = text[at]
        if quote:
            if char == "\\" and quote != "`":
                at += 2
                continue
            if char == quote:
                quote = None
        elif text.startswith(delimiter, at):
            return at
        elif char in "'\"`":
            quote = char
        at += 1
    return len(text)


def after_condition(text, at):
    depth = 0
    while at < len(text):
        if text[at] == "(":
            depth += 1
        elif text[at] == ")":
            depth -= 1
            if depth == 0:
                return at + 1
        elif text[at] == "`":
            end = text.find("`", at + 1)
            at = len(text) if end < 0 else end
        at += 1
    return at


def after_body(text, command, at):
    named = re.match(r"(?:write_file|append_file)\s+\S+\s+(\S+)|perl\s+(\S+)", command)
    end = (named and (named.group(1) or named.group(2)) or "EOF").rstrip(";")
    found = text.find("\n" + end, at - 1)
    return len(text) if found < 0 else found + 1 + len(end)
