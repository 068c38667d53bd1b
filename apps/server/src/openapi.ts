import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { DocumentBuilder, SwaggerModule, type OpenAPIObject } from '@nestjs/swagger';
import { FabulaNode } from './node.js';
import { apiControllers, everywhereControllers } from './rest/controllers.js';

/** What describes the REST side: made from the running controllers for `/admin/openapi.json`, and without a server for openapi.json. */
export function describeApi(app: NestFastifyApplication): OpenAPIObject {
  const about = new DocumentBuilder()
    .setTitle('Fabula')
    .setDescription(
      'Authors, operators and compliance. Readers play over GraphQL: see schema.graphql. Errors are RFC 9457 problems with the codes of docs/reference/errors.md.',
    )
    .setVersion('0.1.0')
    .addBearerAuth()
    .build();
  return SwaggerModule.createDocument(app, about);
}

@Module({
  controllers: [...apiControllers, ...everywhereControllers],
  // Describing calls nothing.
  providers: [{ provide: FabulaNode, useValue: {} }],
})
class DescribedModule {}

export async function openApiDocument(): Promise<OpenAPIObject> {
  const app = await NestFactory.create<NestFastifyApplication>(DescribedModule, new FastifyAdapter(), { logger: false });
  try {
    return describeApi(app);
  } finally {
    await app.close();
  }
}
