import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { DocumentBuilder, SwaggerModule, type OpenAPIObject } from '@nestjs/swagger';
import { FabulaNode } from './node.js';
import { AccessController } from './rest/access.controller.js';
import { complianceControllers } from './rest/admin-compliance.controller.js';
import { AdminDeadLettersController } from './rest/admin-dead-letters.controller.js';
import { AdminPlaythroughsController, AdminProjectionsController } from './rest/admin-operations.controller.js';
import { AdminStoriesController } from './rest/admin-stories.controller.js';
import { AuditController } from './rest/audit.controller.js';
import { OperationsController } from './rest/operations.controller.js';
import { HealthController } from './rest/health.controller.js';

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
  controllers: [
    AdminStoriesController,
    AdminPlaythroughsController,
    AdminProjectionsController,
    AdminDeadLettersController,
    AuditController,
    ...complianceControllers,
    AccessController,
    OperationsController,
    HealthController,
  ],
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
