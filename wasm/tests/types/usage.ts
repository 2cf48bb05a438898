// Compiled, never run: what the declarations must allow, and under `@ts-expect-error` refuse.

import init, { type Guard, KeyedMutex, type LockRequest } from "../../pkg/lockcore_wasm.js";

await init();
const mutex = new KeyedMutex();

export async function locks(signal: AbortSignal): Promise<bigint> {
  using guard = await mutex.lock("a");
  const other: Guard = await mutex.lock("b", { signal });
  const request: LockRequest = { signal: null };
  await mutex.lock("c", request);
  await mutex.lock("d", {});
  other.release();
  const released: boolean = other.released;
  const id: string = guard.id;
  return released && id !== "" ? guard.token : 0n;
}

export function tries(): string {
  const guard: Guard | undefined = mutex.tryLock("a");
  guard?.release();
  // @ts-expect-error: it may be undefined
  guard.release();
  return guard?.id ?? "in use";
}

export async function runs(): Promise<number> {
  const direct: number = await mutex.runExclusive("a", (guard) => Number(guard.token));
  const awaited: string = await mutex.runExclusive("a", async ({ id }) => id, {});
  const nothing: void = await mutex.runExclusive("a", () => {});
  return direct + awaited.length + (nothing === undefined ? 0 : 1);
}

export function looks(): number {
  const locked: boolean = mutex.isLocked("a");
  return locked ? mutex.waiting("a") : mutex.size;
}

export function refused(guard: Guard): void {
  // @ts-expect-error: ids are strings
  mutex.tryLock(1);
  // @ts-expect-error: an id is needed
  void mutex.lock();
  // @ts-expect-error: a signal is an AbortSignal
  void mutex.lock("a", { signal: "stop" });
  // @ts-expect-error: there is no such option
  void mutex.lock("a", { timeout: 5 });
  // @ts-expect-error: a callback is needed
  void mutex.runExclusive("a");
  // @ts-expect-error: tokens are given by the mutex
  guard.token = 5n;
}
