// reprice sets the price of an article and tells the rest of the world, in one transaction: pg and outbox.event.
// emit is the part to copy.
import pg from "pg";

/** Inserts one event into the transaction that is open on `client`: it is published if and only if that commits. */
async function emit(client, topic, key, payload, headers = null) {
  await client.query("insert into outbox.event (topic, key, payload, headers) values ($1, $2, $3, $4)", [
    topic,
    Buffer.from(key),
    Buffer.from(JSON.stringify(payload)),
    headers,
  ]);
}

/**
 * Never commits: it is given a client with an open transaction. The row first, and with it its lock, then the event: so
 * the events of an article stand in the order of its prices.
 */
async function reprice(client, sku, priceCents) {
  await client.query(
    `insert into article (sku, price_cents) values ($1, $2)
     on conflict (sku) do update set price_cents = excluded.price_cents`,
    [sku, priceCents],
  );
  const headers = { "content-type": "application/json", editor: "Zoë" };
  await emit(client, "article.priced", sku, { sku, price_cents: priceCents }, headers);
}

class Refused extends Error {}

/** Runs the work in a transaction on one client, never on a pool: each query of a pool may take another connection. */
async function inTransaction(client, work) {
  await client.query("begin");
  try {
    await work(client);
    // Postgres answers ROLLBACK to a commit when a statement before it had failed and nobody looked
    const { command } = await client.query("commit");
    if (command !== "COMMIT") throw new Error("the transaction had failed, and was rolled back");
  } catch (error) {
    await client.query("rollback").catch(() => {}); // a lost connection rolls back too
    throw error;
  }
}

const USAGE = "usage: reprice.js postgresql://USER@HOST/DATABASE SKU CENTS commit|rollback";

async function main([url, sku, cents, end, ...rest]) {
  if (url === "--help") {
    console.log(USAGE);
    return 0;
  }
  if (!["commit", "rollback"].includes(end) || !/^\d{1,9}$/.test(cents) || rest.length > 0) {
    console.error(USAGE);
    return 64;
  }
  const client = new pg.Client({ connectionString: url });
  client.on("error", () => {}); // a lost connection: the query under way fails and says so; without this the process would die
  try {
    await client.connect();
  } catch (error) {
    console.error("reprice:", error.message);
    return 69;
  }
  try {
    await inTransaction(client, async () => {
      await reprice(client, sku, Number(cents));
      if (end === "rollback") throw new Refused("refused, as asked");
    });
  } catch (error) {
    if (error instanceof Refused) return 0;
    console.error("reprice:", error.message);
    return 1;
  } finally {
    await client.end();
  }
  return 0;
}

process.exitCode = await main(process.argv.slice(2));
