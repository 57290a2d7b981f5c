// Reads openapi.json
const description = (() => {
  let document_ = null;

  async function load() {
    document_ = await api.get("openapi.json");
    return document_;
  }

  // What a $ref stands for
  function resolve(node) {
    return node.$ref ? node.$ref.slice(2).split("/").reduce((at, name) => at[name], document_) : node;
  }

  function exampleOf(media) {
    if (media.example !== undefined) return media.example;
    return media.examples ? Object.values(media.examples)[0].value : undefined;
  }

  const asText = value => typeof value === "string" ? value : JSON.stringify(value, null, 2);

  function typeOf(schema) {
    schema = resolve(schema);
    const type = schema.enum ? schema.enum.join(", ") : [schema.type ?? schema.description ?? ""].flat().join(" or ");
    return schema.default === undefined ? type : `${type}; default ${schema.default}`;
  }

  // Is it any number of parameters, each of its own name? They are entered as in a URL.
  const isMany = parameter => resolve(parameter.schema).type === "object";

  const hintOf = parameter => isMany(parameter) ? String(new URLSearchParams(parameter.schema.examples?.[0])) : parameter.example ?? "";

  // { path, method, operation } of a tag
  function operationsOf(tag) {
    return Object.entries(document_.paths).flatMap(([path, methods]) => Object.entries(methods)
      .filter(([, operation]) => operation.tags?.includes(tag.name))
      .map(([method, operation]) => ({ path, method, operation })));
  }

  return { load, resolve, exampleOf, asText, typeOf, isMany, hintOf, operationsOf };
})();
