// nestjs-prometheus and throttler are CommonJS and require these, which are ESM: Jest can only do that once they are evaluated.
import '@nestjs/common';
import '@nestjs/core';
