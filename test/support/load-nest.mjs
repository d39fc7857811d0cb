// nestjs-prometheus is CommonJS and requires @nestjs/common, which is ESM: Jest can only do that once it is evaluated.
import '@nestjs/common';
