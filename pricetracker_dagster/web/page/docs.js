// Starts Swagger UI, whose files come with a package (fastapi-offline), on this server's own OpenAPI.

globalThis.SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  validatorUrl: null, // it would ask another host
});
