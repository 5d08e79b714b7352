import { describe, expect, test } from "bun:test";
import { ApiError } from "./errors.ts";
import { checkSender, checkToken, corsHeaders, type Guard, isLoopback } from "./guard.ts";

const local: Guard = { host: "127.0.0.1", port: 8080, origins: [], names: [] };
const open: Guard = { ...local, host: "0.0.0.0", token: "a".repeat(20), names: ["gpu.lan"] };

const status = (check: () => void): number => {
  try {
    check();
    return 200;
  } catch (error) {
    return (error as ApiError).status;
  }
};
const sender = (guard: Guard, host: string | undefined, origin?: string) =>
  status(() =>
    checkSender(
      new Headers({ ...(host === undefined ? {} : { host }), ...(origin ? { origin } : {}) }),
      guard,
    )
  );

test("which interfaces are this machine's own", () => {
  expect(["127.0.0.1", "127.8.0.1", "localhost", "::1"].every(isLoopback)).toBe(true);
  expect(["0.0.0.0", "::", "192.168.0.2", "127.0.0.1.evil.example"].some(isLoopback)).toBe(false);
});

describe("by which name a server may be called", () => {
  test.each<[string | undefined, number]>([
    ["127.0.0.1:8080", 200],
    ["localhost:8080", 200],
    ["LOCALHOST:8080", 200],
    ["[::1]:8080", 200],
    ["127.0.0.1:8081", 421],
    ["127.0.0.1", 421],
    ["evil.example:8080", 421],
    ["localhost.evil.example:8080", 421],
    ["192.168.0.2:8080", 421],
    ["", 421],
    [undefined, 421],
  ])("on the loopback interface: %p", (host, expected) => {
    expect(sender(local, host)).toBe(expected);
  });
  test.each<[string, number]>([
    ["192.168.0.2:8080", 200],
    ["[fd00::2]:8080", 200],
    ["gpu.lan", 200], // behind a proxy the port is another
    ["evil.example:8080", 421],
  ])("where others reach it: %p", (host, expected) => expect(sender(open, host)).toBe(expected));
});

test("a further name, behind another server too", () => {
  const named = { ...local, names: ["models.example"] };
  expect(sender(named, "models.example")).toBe(200);
  expect(sender(named, "models.example.evil")).toBe(421);
  expect(sender(named, "127.0.0.1")).toBe(421);
});

test("pages: its own, those that were named, no other", () => {
  const host = "127.0.0.1:8080";
  expect(sender(local, host, `http://${host}`)).toBe(200);
  expect(sender(local, host, "http://127.0.0.1:3000")).toBe(403);
  expect(sender(local, host, "null")).toBe(403);
  const named = { ...local, origins: ["https://page.example"] };
  expect(sender(named, host, "https://page.example")).toBe(200);
  expect(sender(named, host, "https://page.example.evil")).toBe(403);
  const request = (origin: string) => new Request("http://x/", { headers: { origin } });
  expect(corsHeaders(request("https://page.example"), named)["access-control-allow-origin"])
    .toBe("https://page.example");
  expect(corsHeaders(request("https://other.example"), named)).toEqual({});
});

test("the token: whole, and only as a bearer", () => {
  const of = (authorization?: string) =>
    status(() => checkToken(new Headers(authorization ? { authorization } : {}), open));
  expect(of(`Bearer ${open.token}`)).toBe(200);
  expect(of(`bearer ${open.token}`)).toBe(200);
  for (const wrong of [undefined, "Bearer", "Bearer x", open.token, `Bearer ${open.token}a`]) {
    expect(of(wrong)).toBe(401);
  }
});
