// Somebody who takes webhooks, and remembers them.
import { createServer } from "node:http";

export async function receiver() {
  const taken = [];
  const server = createServer(async (request, response) => {
    let body = "";
    for await (const part of request) body += part;
    taken.push(JSON.parse(body));
    response.writeHead(202).end();
  });
  await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
  return { url: `http://127.0.0.1:${server.address().port}/hook`, taken, end: () => server.close() };
}
