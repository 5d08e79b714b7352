import { Exit, type ExitCode, Fail } from "../../base/fail.ts";
import { CAREFUL } from "../local.ts";

/** An error as clients of OpenAI's API know them. */
export class ApiError extends Error {
  override readonly name = "ApiError";

  /** @param code stable identifier; @param param the field of the request that is meant */
  constructor(
    readonly status: number,
    message: string,
    readonly code: string,
    readonly param?: string,
    readonly headers: Readonly<Record<string, string>> = {},
  ) {
    super(message);
  }
}

export const invalid = (message: string, param?: string, code = "invalid_value"): ApiError =>
  new ApiError(400, message, code, param);

const STATUS: Partial<Record<ExitCode, [status: number, code: string]>> = {
  [Exit.usage]: [400, "invalid_value"],
  [Exit.data]: [400, "invalid_value"],
  [Exit.memory]: [503, "out_of_memory"],
  [Exit.gpu]: [500, "gpu_error"],
};

/** Whatever was thrown, as an error for the client: what it cannot change says no more than it must. */
export function apiError(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  if (!(error instanceof Fail)) return new ApiError(500, "a bug in the server", "internal_error");
  const [status, code] = STATUS[error.exit] ?? [500, "internal_error"];
  const why = status === 400 && error.why ? `: ${error.why}` : "";
  return new ApiError(status, error.message + why, code);
}

const KINDS: Readonly<Record<number, string>> = {
  401: "authentication_error",
  403: "permission_error",
  429: "rate_limit_error",
};

/** The body of an error: {"error": {"message", "type", "param", "code"}}. */
export function errorBody({ status, message, code, param }: ApiError): { readonly error: object } {
  const type = KINDS[status] ?? (status < 500 ? "invalid_request_error" : "server_error");
  return { error: { message, type, param: param ?? null, code } };
}

export const errorResponse = (error: ApiError): Response =>
  Response.json(errorBody(error), {
    status: error.status,
    headers: { ...CAREFUL, ...error.headers },
  });
