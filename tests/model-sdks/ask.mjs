// Asks a model through the gateway with the providers' own clients: node ask.mjs URL TOKEN
// Prints one JSON object: what each of them made of it.
import Anthropic from "@anthropic-ai/sdk";
import OpenAI from "openai";

const [url, token] = process.argv.slice(2);
const ask = { role: "user", content: "my key is ghp_16C7e42F292c6912E7710c838347Ae178B4a" };
const openai = new OpenAI({ baseURL: `${url}/v1`, apiKey: token });
const anthropic = new Anthropic({ baseURL: url, authToken: token, apiKey: null });
const told = {};

const whole = await openai.chat.completions.create({ model: "m", messages: [{ ...ask, content: `whole: ${ask.content}` }] });
told.whole = whole.choices[0].message.content;

told.openai = "";
for await (const event of await openai.chat.completions.create({ model: "m", messages: [ask], stream: true })) {
  told.openai += event.choices[0]?.delta?.content ?? "";
}

told.anthropic = "";
for await (const event of await anthropic.messages.create({ model: "m", max_tokens: 9, messages: [ask], stream: true })) {
  told.anthropic += event.delta?.text ?? "";
}

const refused = async (call) => {
  try {
    await call();
  } catch (error) {
    return { status: error.status, message: error.message };
  }
};
told.refusedByOpenai = await refused(() => openai.files.delete("file-1"));
told.refusedByAnthropic = await refused(() => anthropic.delete("/v1/files/file-2"));
console.log(JSON.stringify(told));
