// Run a TensorFlow.js graph model on one image and print the value of a node as JSON.
// node tfjs_embed.js TF.MIN.JS MODEL.JSON MODEL.BIN IMAGE.F32 SIDE NODE
const fs = require("fs");
const [library, topology, weights, image, side, node] = process.argv.slice(2);
const tf = require(library);

async function main() {
  await tf.setBackend("cpu");
  const model = JSON.parse(fs.readFileSync(topology, "utf8"));
  const bytes = (path) => Uint8Array.from(fs.readFileSync(path)).buffer;
  const graph = await tf.loadGraphModel(
    tf.io.fromMemory({
      modelTopology: model.modelTopology,
      weightSpecs: model.weightsManifest.flatMap((group) => group.weights),
      weightData: bytes(weights),
    })
  );
  const input = tf.tensor(new Float32Array(bytes(image)), [1, +side, +side, 3]);
  console.log(JSON.stringify(Array.from(await graph.execute(input, node).data())));
}

main();
