# UNTESTED: no image was built from this file yet. It runs the same two commands as a fresh clone.
#   docker build -t secateur . && docker run --rm -it secateur            the main job
#   docker run --rm -it --network host secateur npm run lab -- --no-browser
# GPU: pass --build-arg SECATEUR_TENSORFLOW=gpu (CUDA comes in Python wheels; the host needs the NVIDIA container toolkit),
# then docker run --gpus all.
FROM node:22-bookworm
RUN apt-get update && apt-get install -y --no-install-recommends g++ python3 python3-pip python3-venv && rm -rf /var/lib/apt/lists/*
WORKDIR /secateur
COPY . .
ARG SECATEUR_TENSORFLOW=cpu
RUN SECATEUR_TENSORFLOW=${SECATEUR_TENSORFLOW} npm run setup && npm run lab -- --install-only
CMD ["npm", "start"]
