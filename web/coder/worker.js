/**
 * The neural codec beside the page's own thread: the two graphs of codecs/export.py, run by ONNX Runtime.
 *
 * Takes { id, act, ... } and answers { id, ... } or { id, error }. Acts: "load" { base } -> { loadMs }; "encode"
 * { samples: Float32Array of whole frames } -> { codes: Int32Array, codebooks, latents }; "decode" { codes, codebooks } ->
 * { samples }; "renew" { side: "encoder" | "decoder" } -> {}: a fresh state. One after the other, in the order in which
 * they came.
 */

import { env, InferenceSession, Tensor } from "./ort.mjs";

const WEIGHTS = "weights.safetensors"; // as the graphs name it
const ARRAYS = { float32: Float32Array, float64: Float64Array, int32: Int32Array };

const sides = {}; // "encoder", "decoder": { session, state }
let last = Promise.resolve();

async function bytes(url) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url.pathname}: ${response.status}`);
  return response.arrayBuffer();
}

async function unpacked(url) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url.pathname}: ${response.status}`);
  return new Response(response.body.pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
}

function freshState({ inputMetadata }) {
  const remembered = inputMetadata.filter(({ name }) => name.startsWith("state."));
  return Object.fromEntries(
    remembered.map(({ name, type, shape }) => [name, new Tensor(type, new ARRAYS[type](shape.reduce((a, b) => a * b, 1)), shape)]),
  );
}

async function load({ base }) {
  const begun = performance.now();
  const [wasm, weights, ...graphs] = await Promise.all([
    unpacked(new URL("ort.wasm.gz", import.meta.url)),
    ...[WEIGHTS, "encoder.onnx", "decoder.onnx"].map((name) => bytes(new URL(name, base))),
  ]);
  Object.assign(env.wasm, { numThreads: 1, wasmBinary: wasm, proxy: false });
  const externalData = [{ path: WEIGHTS, data: new Uint8Array(weights) }];
  for (const [i, side] of ["encoder", "decoder"].entries()) {
    const session = await InferenceSession.create(new Uint8Array(graphs[i]), { executionProviders: ["wasm"], externalData });
    sides[side] = { session, state: freshState(session) };
  }
  return { loadMs: performance.now() - begun };
}

/** One run, and what is remembered of it. */
async function run(side, name, tensor) {
  const { session, state } = sides[side];
  const given = await session.run({ [name]: tensor, ...state });
  for (const key of Object.keys(state)) state[key] = given[key.replace("state.", "after.")];
  return given;
}

async function encode({ samples }) {
  const { codes, latents } = await run("encoder", "pcm", new Tensor("float32", samples, [samples.length]));
  return { codes: codes.data, codebooks: codes.dims[1], latents: latents.data };
}

async function decode({ codes, codebooks }) {
  const { samples } = await run("decoder", "codes", new Tensor("int32", codes, [codes.length / codebooks, codebooks]));
  return { samples: samples.data };
}

function renew({ side }) {
  sides[side].state = freshState(sides[side].session);
  return {};
}

const ACTS = { load, encode, decode, renew };

onmessage = ({ data }) => {
  last = last.then(async () => {
    try {
      postMessage({ id: data.id, ...(await ACTS[data.act](data)) });
    } catch (error) {
      postMessage({ id: data.id, error: String(error?.message ?? error) });
    }
  });
};
