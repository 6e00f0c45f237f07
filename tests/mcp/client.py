"""What the Python SDK makes of the gateway: one whole story over `mcp.client`, as JSON on standard output.

Arguments: the address, a token, a row that may be deleted once a person has approved it, and the protocol mode.
"""

import asyncio
import json
import sys

import httpx2
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client


async def main(url: str, token: str, row: str, mode: str) -> None:
    bearer = {"Authorization": f"Bearer {token}"}
    async with httpx2.AsyncClient(headers=bearer, timeout=70) as http:
        async with Client(streamable_http_client(url, http_client=http), mode=mode) as client:
            tools = await client.list_tools()
            told = {"tools": {tool.name: tool.annotations.read_only_hint for tool in tools.tools}}

            async def call(name: str, **arguments: object) -> dict:
                result = await client.call_tool(name, arguments)
                return {"error": result.is_error, "content": result.structured_content}

            told["connections"] = await call("list_connections")
            told["described"] = await call("describe", connection="crm", relations=["customers"])
            sql = "SELECT id, email FROM customers WHERE id = ?1"
            told["read"] = await call("query", connection="crm", sql=sql, params=[int(row)])
            sql = f"DELETE FROM customers WHERE id = {row}"
            told["refused"] = await call("query", connection="crm", sql=sql)
            told["held"] = await call("execute", connection="crm", sql=sql, wait_seconds=0)
            request = told["held"]["content"]["request_id"]
            told["waiting"] = await call("get_result", request_id=request, wait_seconds=0)
            print(json.dumps(told))


asyncio.run(main(*sys.argv[1:]))
