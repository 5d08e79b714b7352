import { expect, test } from "bun:test";
import { backportsSource } from "../scripts/setup_apt.ts";

const stanzas = `Types: deb
# a note
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/k.gpg

Types: deb
URIs: http://mirror.example/security
Suites: bookworm-security
Components: main
`;

test("backports come from where the suite comes from", () => {
  expect(backportsSource([{ deb822: true, text: stanzas }], "bookworm")).toEqual({
    deb822: true,
    text: "Types: deb\nURIs: http://mirror.example/debian\nSuites: bookworm-backports\n" +
      "Components: main\nSigned-By: /usr/share/keyrings/k.gpg\n",
  });
  const list = "# deb http://old.example bookworm main\n" +
    "deb [signed-by=/k arch=amd64] http://mirror.example/debian bookworm main\n";
  expect(backportsSource([{ deb822: false, text: list }], "bookworm")).toEqual({
    deb822: false,
    text: "deb [signed-by=/k arch=amd64] http://mirror.example/debian bookworm-backports main\n",
  });
});

test("nothing is added where backports are present or the suite is unknown", () => {
  const list = { deb822: false, text: "deb http://m.example/debian bookworm-backports main" };
  expect(backportsSource([{ deb822: true, text: stanzas }, list], "bookworm")).toBe("present");
  expect(backportsSource([list], "trixie")).toBeUndefined();
});
