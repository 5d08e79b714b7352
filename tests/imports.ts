/** TypeScript with comments replaced by spaces; strings and templates are left alone. */
export function blankComments(text: string): string {
  const token =
    /"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`(?:[^`\\]|\\[\s\S])*`|\/\/[^\n]*|\/\*[\s\S]*?\*\//g;
  return text.replace(
    token,
    (found) => /^\/[/*]/.test(found) ? found.replace(/[^\n]/g, " ") : found,
  );
}

/** The module names in every import and export of a TypeScript file, types included. */
export function imports(text: string): string[] {
  const code = blankComments(text);
  const forms = [
    /\bfrom\s*["']([^"'\n]+)["']/g,
    /\bimport\s*["']([^"'\n]+)["']/g,
    /\bimport\s*\(\s*["'`]([^"'`\n]+)["'`]/g,
  ];
  return forms.flatMap((form) => [...code.matchAll(form)].map((match) => match[1]!));
}
