export { sha256File, writeFileAtomic } from "../files";
export { bfloat16ToFloat32, float16ToFloat32, float32ToBfloat16, float32ToFloat16 } from "./floats";
export { fromTorchLayout, torchShape, toTorchLayout } from "./layout";
export { type LoadOptions, loadParams, paramsHash, readParams, type SaveOptions, saveParams } from "./params";
export {
  type Dtype,
  readSafetensors,
  readSafetensorsHeader,
  type Safetensors,
  type SafetensorsHeader,
  type StoredTensor,
  type TensorInfo,
  writeSafetensors,
} from "./safetensors";
