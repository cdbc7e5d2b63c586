// biome-ignore lint/style/noDefaultExport: a thread calls the default export of its module
export default ({ payload }) => ({ doubled: payload.n * 2 });
